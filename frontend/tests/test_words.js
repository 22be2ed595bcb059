import * as ar from "../js/words/ar.js";
import * as en from "../js/words/en.js";
import * as accessAr from "../js/words/access/ar.js";
import * as accessEn from "../js/words/access/en.js";
import { anAnswer } from "./answers.js";
import { equal, ok, test } from "./harness.js";

/** The names of all words below each other, each with what kind of thing it is. @returns {unknown} */
function shape(/** @type {unknown} */ value) {
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.entries(value)
    .map(([name, inner]) => [name, shape(inner)])
    .sort();
}

test("each language has words for the same things", () => {
  equal(shape({ ...ar }), shape({ ...en }));
  equal(shape({ ...accessAr }), shape({ ...accessEn }));
});

test("no word is left empty", () => {
  const check = (/** @type {unknown} */ value, /** @type {string} */ path) => {
    if (typeof value === "string") ok(value.trim() !== "", path);
    else if (typeof value === "object" && value) for (const [name, inner] of Object.entries(value)) check(inner, `${path}.${name}`);
  };
  check({ ...en }, "en");
  check({ ...ar }, "ar");
});

test("index.html says in English what the English words are", async () => {
  // Read as a document of its own: none of it is run.
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.open("GET", "../index.html");
  const page = await new Promise((resolve) => {
    request.onload = () => resolve(/** @type {Document} */ (request.responseXML));
    request.send();
  });
  const used = new Set();
  for (const element of page.querySelectorAll("[data-words]")) {
    for (const name of element.getAttribute("data-words").split(" ")) {
      const [key, attribute] = name.split("@");
      used.add(key);
      equal([key, attribute ? element.getAttribute(attribute) : element.textContent], [key, en.page[/** @type {"keys"} */ (key)]]);
    }
  }
  equal([...used].sort(), Object.keys(en.page).sort());
});

test("Arabic counts as Arabic does", () => {
  // Which digits are the usual ones differs from browser to browser.
  const { format } = new Intl.NumberFormat("ar");
  equal(
    [1, 2, 3, 11, 100].map((count) => ar.outbox(count, false).split(": ")[1]),
    ["رسالة واحدة", "رسالتان", `${format(3)} رسائل`, `${format(11)} رسالة`, `${format(100)} رسالة`],
  );
});

test("what goes with all conversations is counted in each language", () => {
  equal(
    [1, 2, 5000].map((count) => en.deleteAll(count).split(",").slice(0, -1).join()),
    ["1 conversation with all its messages", "2 conversations with all their messages", "5,000 conversations with all their messages"],
  );
  const { format } = new Intl.NumberFormat("ar");
  equal(
    [1, 2, 3, 11, 100].map((count) => ar.deleteAll(count).split("،")[0]),
    [
      "محادثة واحدة بكل رسائلها",
      "محادثتان بكل رسائلهما",
      `${format(3)} محادثات بكل رسائلها`,
      `${format(11)} محادثة بكل رسائلها`,
      `${format(100)} محادثة بكل رسائلها`,
    ],
  );
});

test("a short wait is told in seconds, a longer one in minutes, and a long one by the clock", () => {
  const now = new Date(2026, 4, 6, 13, 0).getTime();
  const told = (/** @type {number} */ seconds) => en.when(now + 1000 * seconds, now).replace(/\s/g, " ");
  equal([0.2, 23, 99, 100, 119, 3599].map(told), ["in 1 s", "in 23 s", "in 99 s", "in 2 min", "in 2 min", "in 60 min"]);
  equal([5400, 86_400].map(told), ["at 2:30 PM", "on Thursday, May 7 at 1:00 PM"]);
  ok(ar.when(now + 23_000, now).includes(new Intl.NumberFormat("ar").format(23)));
});

test("what did not fit is counted", () => {
  equal([1, 2].map(en.leftOut), ["The first message did not fit and was not sent.", "The first 2 messages did not fit and were not sent."]);
  const { format } = new Intl.NumberFormat("ar");
  const counts = [1, 2, 4, 12].map((count) => /أوّل (.+?) فلم/.exec(ar.leftOut(count))?.[1]);
  equal(counts, ["رسالة", "رسالتين", `${format(4)} رسائل`, `${format(12)} رسالة`]);
});

test("a known error is told in Arabic, with what the server knows of it; another in the server's words", () => {
  const said = (/** @type {string} */ code) =>
    ar.ending({ ...anAnswer(), end: { kind: "failed", code, message: "The oven is cold." } })?.text;
  equal(said("oven_error"), "The oven is cold.");
  ok(/^[^a-z]+\nThe oven is cold.$/i.test(said("model_error") ?? ""));
  ok(!/[a-z]/i.test(said("queue_full") ?? "a"));
});
