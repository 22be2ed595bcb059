import * as ar from "../js/words/ar.js";
import * as en from "../js/words/en.js";
import { newAnswer } from "../js/answer.js";
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

test("a known error is told in Arabic, with what the server knows of it; another in the server's words", () => {
  const said = (/** @type {string} */ code) =>
    ar.ending({ ...newAnswer(false), end: { kind: "failed", code, message: "The oven is cold." } })?.text;
  equal(said("oven_error"), "The oven is cold.");
  ok(/^[^a-z]+\nThe oven is cold.$/i.test(said("model_error") ?? ""));
  ok(!/[a-z]/i.test(said("queue_full") ?? "a"));
});
