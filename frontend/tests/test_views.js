import { newAnswer } from "../js/answer.js";
import { Store } from "../js/store.js";
import { StatusView } from "../js/views/status.js";
import { announcement, ending, thinkingSummary, waiting } from "../js/words/en.js";
import { equal, ok, test } from "./harness.js";

/**
 * @param {Partial<import("../js/chat.js").Answer>} changes
 * @returns {import("../js/chat.js").Answer}
 */
function answer(changes) {
  return { ...newAnswer(false), ...changes };
}

test("what is waited for is said in words", () => {
  const said = (/** @type {Partial<import("../js/chat.js").Answer>} */ changes) => waiting(answer(changes), "open");
  equal(
    [1, 2, 3, 4, 11, 12, 13, 21, 22, 101].map((position) => said({ phase: "queued", position }).slice(17)),
    ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st"],
  );
  equal(said({ phase: "loading" }), "Loading the model…");
  equal(said({ phase: "prefill", percent: 30 }), "Reading your message… 30 %");
  equal(said({ phase: "answering" }), "");
  equal([said({ phase: "sending" }), said({ phase: "sending", id: "a1" })], ["Sending…", "Waiting for the first word…"]);
  ok(waiting(answer({ phase: "answering" }), "offline").includes("offline"));
  ok(waiting(answer({ phase: "answering" }), "reconnecting").includes("Reconnecting"));
});

test("thinking tells its time, while it lasts and afterwards", () => {
  const said = (/** @type {number | null} */ thinkingMs, elapsed = 0) =>
    thinkingSummary(answer({ thinkingSince: 5000, thinkingMs }), 5000 + elapsed);
  equal([said(null, 900), said(null, 12_700), said(null, 63_000)], ["Thinking…", "Thinking… 12 s", "Thinking… 1 min 3 s"]);
  equal([said(80), said(3400), said(120_000)], ["Thought for 1 s", "Thought for 3 s", "Thought for 2 min 0 s"]);
});

test("each end but the good one is said", () => {
  equal(ending(answer({ content: "All.", end: { kind: "stop" } })), null);
  equal(announcement(answer({ content: "All.", end: { kind: "stop" } }), "open"), "The answer is complete.");
  equal(ending(answer({ end: { kind: "stop" } }))?.text, "The model gave an empty answer.");
  equal(ending(answer({ end: { kind: "stopped" } }))?.error, false);
  equal(ending(answer({ end: { kind: "length" } }))?.error, false);
  equal(ending(answer({ end: { kind: "cut" } }))?.error, true);
  equal(ending(answer({ end: { kind: "failed", code: "timeout", message: "Silent." } })), {
    text: "Silent.",
    code: "timeout",
    error: true,
  });
});

test("each announcement stands long enough to be heard, and only the newest of the state's is made", async () => {
  const root = document.createElement("p");
  document.body.append(root);
  /** @type {[string, number][]} */
  const said = [];
  new MutationObserver(() => root.textContent && said.push([root.textContent, performance.now()])).observe(root, {
    childList: true,
  });
  const running = answer({ phase: "answering", content: "All." });
  const chat = { running: /** @type {object | null} */ (running), followed: running, connection: "open", state: { messages: [running] } };
  const status = new StatusView(root, /** @type {import("../js/chat.js").Chat} */ (/** @type {unknown} */ (chat)));
  status.draw("");
  status.say("Copied");
  status.say("Copied");
  status.draw("Waiting: 1 message");
  Object.assign(running, { end: { kind: "stop" } });
  chat.running = null;
  status.draw("");
  while (said.length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
  equal(
    said.map(([text]) => text),
    ["Answering…", "Copied", "Copied", "The answer is complete."],
  );
  ok(said.every(([, at], index) => index === 0 || at - (said[index - 1]?.[1] ?? 0) >= 450));
  root.remove();
});

test("the store writes when it is flushed, and reads the same again", () => {
  const store = new Store("test", () => {});
  const value = { text: "a" };
  store.save(value);
  value.text = "b";
  equal(store.load(), null);
  store.flush();
  equal(store.load(), { text: "b" });
  sessionStorage.removeItem("test");
});

test("the store writes by itself, and when the page goes away", async () => {
  const store = new Store("test", () => {});
  store.save("soon");
  while (store.load() !== "soon") await new Promise((resolve) => setTimeout(resolve, 20));
  store.save("on leaving");
  window.dispatchEvent(new Event("pagehide"));
  equal(store.load(), "on leaving");
  sessionStorage.removeItem("test");
});

test("a full store says so, keeps what it had, and says when it is well again", () => {
  /** @type {(string | null)[]} */
  const troubles = [];
  const store = new Store("test", (words) => troubles.push(words));
  const save = (/** @type {unknown} */ value) => {
    store.save(value);
    store.flush();
  };
  save("before");
  save("x".repeat(20_000_000));
  equal(store.load(), "before");
  save("after");
  equal([troubles.length, troubles[0], troubles[2]], [3, null, null]);
  ok(troubles[1]?.includes("no room"));
  sessionStorage.removeItem("test");
});

test("a store that holds something else is read as empty, with words", () => {
  /** @type {(string | null)[]} */
  const troubles = [];
  sessionStorage.setItem("test", "{half");
  equal(new Store("test", (words) => troubles.push(words)).load(), null);
  equal(troubles.length, 1);
  sessionStorage.removeItem("test");
});
