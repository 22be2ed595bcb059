import { Store } from "../js/store.js";
import { GrowingText } from "../js/views/growing_text.js";
import { announcement, ending, thinkingSummary, waiting } from "../js/words/en.js";
import { equal, ok, test } from "./harness.js";

/**
 * @param {Partial<import("../js/chat.js").Answer>} changes
 * @returns {import("../js/chat.js").Answer}
 */
function answer(changes) {
  return {
    role: "assistant",
    content: "",
    think: false,
    thinking: "",
    thinkingSince: null,
    thinkingMs: null,
    phase: "sending",
    position: 0,
    percent: 0,
    id: "",
    lastEventId: "",
    finishReason: null,
    end: null,
    ...changes,
  };
}

test("a growing text keeps every character, wherever it is cut", () => {
  const text = "one\n\n  two\r\n\nthree 😀\n<b>&amp;</b>\n";
  for (let at = 0; at <= text.length; at += 1) {
    const parent = document.createElement("div");
    const growing = new GrowingText(parent);
    growing.draw(text.slice(0, at));
    growing.draw(text);
    equal(parent.textContent, text);
    equal(parent.querySelectorAll(".line").length, 6);
  }
});

test("a growing text leaves its nodes, and so a selection, as they are", () => {
  const parent = document.createElement("div");
  document.body.append(parent);
  const growing = new GrowingText(parent);
  growing.draw("first line\nsecond");
  const nodes = [...parent.querySelectorAll(".line")].map((line) => line.firstChild);
  getSelection()?.selectAllChildren(parent);
  growing.draw("first line\nsecond line\nthird");
  equal(
    nodes.every((node) => node?.isConnected),
    true,
  );
  equal(getSelection()?.toString().startsWith("first line"), true);
  parent.remove();
});

test("what is waited for is said in words", () => {
  const said = (/** @type {Partial<import("../js/chat.js").Answer>} */ changes) => waiting(answer(changes), "open");
  equal(
    [1, 2, 3, 4, 11, 12, 13, 21, 22, 101].map((position) => said({ phase: "queued", position }).slice(17)),
    ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st"],
  );
  equal(said({ phase: "loading" }), "Loading the model…");
  equal(said({ phase: "prefill", percent: 30 }), "Reading your message… 30 %");
  equal(said({ phase: "answering" }), "");
  ok(waiting(answer({ phase: "answering" }), "offline").includes("offline"));
  ok(waiting(answer({ phase: "answering" }), "reconnecting").includes("Reconnecting"));
});

test("the time that thinking took is at least a second", () => {
  equal(thinkingSummary(answer({ thinkingMs: null })), "Thinking…");
  equal(thinkingSummary(answer({ thinkingMs: 80 })), "Thought for 1 s");
  equal(thinkingSummary(answer({ thinkingMs: 3400 })), "Thought for 3 s");
});

test("each end but the good one is said", () => {
  equal(ending(answer({ end: { kind: "stop" } })), null);
  equal(announcement(answer({ end: { kind: "stop" } }), "open"), "The answer is complete.");
  equal(ending(answer({ end: { kind: "stopped" } }))?.error, false);
  equal(ending(answer({ end: { kind: "length" } }))?.error, false);
  equal(ending(answer({ end: { kind: "cut" } }))?.error, true);
  equal(ending(answer({ end: { kind: "failed", code: "timeout", message: "Silent." } })), {
    text: "Silent.",
    code: "timeout",
    error: true,
  });
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
