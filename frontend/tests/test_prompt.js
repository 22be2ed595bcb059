import { newAnswer } from "../js/answer.js";
import { GO_ON, countChars, makePrompt, mostChars, requestSettings } from "../js/prompt.js";
import { defaultSettings } from "../js/store.js";
import { equal, ok, test } from "./harness.js";

/** @typedef {import("../js/store.js").Message} Message */

const NO_LIMITS = { maxChars: Infinity, contextTokens: null };

/**
 * A conversation, questions and answers in turn; an answer may be more than its text.
 *
 * @param {...(string | Partial<import("../js/answer.js").Answer>)} texts
 * @returns {Message[]}
 */
function path(...texts) {
  return texts.map((text, index) => {
    const ids = { id: `m${index}`, conversation: "c", parent: index === 0 ? null : `m${index - 1}` };
    if (index % 2 === 0) return { ...ids, createdAt: index, role: "user", content: String(text) };
    const answer = { ...newAnswer({ ...ids, think: false }), generation: "g", end: { kind: /** @type {const} */ ("stop") } };
    return Object.assign(answer, typeof text === "string" ? { content: text } : text);
  });
}

/**
 * @param {Message[]} messages
 * @param {object} [settings]
 * @param {object} [limits]
 * @returns {[string[], number]}
 */
function prompt(messages, settings = {}, limits = {}) {
  const made = makePrompt(messages, { ...defaultSettings(), ...settings }, { ...NO_LIMITS, ...limits });
  return [made.messages.map(({ role, content }) => `${role}: ${content}`), made.leftOut];
}

test("what is sent is the path, without thinking", () => {
  const messages = path("Hi", { content: "Hello!", thinking: "The user greets me." }, "How are you?");
  equal(makePrompt(messages, defaultSettings(), NO_LIMITS), {
    messages: [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello!" },
      { role: "user", content: "How are you?" },
    ],
    leftOut: 0,
  });
});

test("the system prompt comes first, unless it is blank or the model takes none", () => {
  equal(prompt(path("Hi"), { system: " Be brief.\n" }), [["system:  Be brief.\n", "user: Hi"], 0]);
  equal(prompt(path("Hi"), { system: " \n" }), [["user: Hi"], 0]);
  equal(prompt(path("Hi"), { system: "Be brief." }, { system: false, maxChars: 2 }), [["user: Hi"], 0]);
});

test("a question that never arrived is not sent, nor an answer without a text", () => {
  const refused = { generation: "", end: { kind: "refused", code: "queue_full", message: "Full." } };
  equal(prompt(path("lost", /** @type {any} */ (refused), "Hi")), [["user: Hi"], 0]);
  equal(prompt(path("stopped", { end: { kind: "stopped" } }, "Hi")), [["user: stopped", "user: Hi"], 0]);
});

test("an answer that is begun is not sent before it has a text; with one, it is gone on with", () => {
  const running = (/** @type {string} */ content) => path("Hi", "Hello!", "More", { content, generation: "", end: null });
  const before = ["user: Hi", "assistant: Hello!", "user: More"];
  equal(prompt(running("")), [before, 0]);
  equal(prompt(running("Half")), [[...before, "assistant: Half", `user: ${GO_ON}`], 0]);
});

test("what does not fit is left out, the oldest first, in whole turns", () => {
  const messages = path("q".repeat(10), "a".repeat(10), "q", "a".repeat(10), "last");
  const all = prompt(messages)[0];
  const left = (/** @type {number} */ maxChars, /** @type {object} */ settings = {}) => {
    const [sent, leftOut] = prompt(messages, settings, { maxChars });
    equal(sent, all.slice(leftOut));
    return leftOut;
  };
  equal([35, 34, 25, 24, 15, 14, 4, 3].map((maxChars) => left(maxChars)), [0, 2, 2, 2, 2, 4, 4, 4]);
  equal(prompt(messages, { system: "1234567890" }, { maxChars: 44 }), [["system: 1234567890", ...all.slice(2)], 2]);
  equal(prompt(messages, { system: "1234567890" }, { maxChars: 45 })[1], 0);
});

test("the last question is sent even if it does not fit, and with it what is gone on with", () => {
  const half = path("Hi", "Hello!", "a long question", { content: "half of a long answer", end: null });
  const last = ["user: a long question", "assistant: half of a long answer", `user: ${GO_ON}`];
  equal(prompt(half, {}, { maxChars: 5 }), [last, 2]);
  equal(prompt(half, { system: "Be brief." }, { maxChars: 5 }), [["system: Be brief.", ...last], 2]);
});

test("a conversation that begins with an answer keeps it as long as it fits", () => {
  const messages = path("", "Welcome!", "Hi");
  equal(prompt(messages), [["assistant: Welcome!", "user: Hi"], 0]);
  equal(prompt(messages, {}, { maxChars: 9 }), [["user: Hi"], 1]);
});

test("characters are counted as Python does", () => {
  equal(["", "abc", "é", "語", "😀", "👩‍🚀", "\ud83d", "\ude00\ud83d"].map(countChars), [0, 3, 1, 1, 1, 3, 1, 2]);
  const messages = path("😀😀", "😀", "😀");
  equal([4, 3].map((maxChars) => prompt(messages, {}, { maxChars })[1]), [0, 2]);
});

test("a message's own room is what the system prompt leaves", () => {
  const room = (/** @type {string} */ system) => mostChars({ system }, { maxChars: 5, contextTokens: null });
  equal(["", " \n ", "😀!", "Be brief."].map(room), [5, 5, 3, 0]);
});

test("a context that is known bounds the prompt, with room for the answer", () => {
  const messages = path("x".repeat(1500), "y".repeat(1500), "abc");
  const leftOut = (/** @type {number} */ contextTokens, /** @type {number | null} */ maxTokens = null) =>
    prompt(messages, { maxTokens }, { contextTokens })[1];
  // Three ASCII characters a token, and six for each message.
  const needed = 500 + 500 + 1 + 3 * 6;
  equal([needed + 100, needed + 99].map((context) => leftOut(context, 100)), [0, 2]);
  // An unlimited answer is left a quarter.
  equal([Math.ceil(needed / 0.75), Math.floor(needed / 0.75)].map((context) => leftOut(context)), [0, 2]);
  // More than the context has is no limit: it takes at most half.
  equal([2 * needed, 2 * needed - 2].map((context) => leftOut(context, 1_000_000)), [0, 2]);
});

test("a script with more tokens for each character fills a context sooner", () => {
  const fits = (/** @type {string} */ text) => prompt(path(text.repeat(300), "a", "q"), { maxTokens: 1 }, { contextTokens: 420 })[1] === 0;
  equal(["a", "語", "ب", "😀"].map(fits), [true, true, true, false]);
  equal(prompt(path("語".repeat(300), "a", "q"), { maxTokens: 1 }, { contextTokens: 310 })[1], 2);
});

test("a conversation much longer than the limits is cut without counting all of it", () => {
  const long = "word ".repeat(20_000);
  const messages = path(...Array.from({ length: 2001 }, () => long));
  // The best of some: the machine may be busy with something else.
  const times = [1, 2, 3, 4, 5].map(() => {
    const before = performance.now();
    const { leftOut } = makePrompt(messages, defaultSettings(), { maxChars: 300_000, contextTokens: null });
    equal(leftOut, 1998);
    return performance.now() - before;
  });
  ok(Math.min(...times) < 200, `${times} ms`);
});

test("how the model is asked names what is set, and what the model takes", () => {
  equal(requestSettings(defaultSettings(), null), { thinking: false });
  const all = { think: true, system: "Be brief.", model: "m", temperature: 0, topP: 0.5, maxTokens: 7 };
  equal(requestSettings(all, null), { thinking: true, temperature: 0, top_p: 0.5, max_tokens: 7, model: "m" });
  equal(requestSettings(all, ["max_tokens"]), { thinking: true, max_tokens: 7, model: "m" });
  equal(requestSettings(all, []), { thinking: true, model: "m" });
});
