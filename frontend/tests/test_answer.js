import { applyEvent, canContinue, endOf, reopen } from "../js/answer.js";
import { figures } from "../js/words/en.js";
import { anAnswer } from "./answers.js";
import { withClock } from "./clock.js";
import { equal, test } from "./harness.js";

/** @param {...any} events */
function answerOf(...events) {
  const answer = anAnswer({ think: true });
  for (const event of events) applyEvent(answer, event);
  return answer;
}

const THOUGHT = [
  { token: "[thinking", thinking: "" },
  { token: ".", thinking: "Hm. " },
  { token: "]\n\n", thinking: "" },
];

test("what is thought is no text of the answer", () => {
  const answer = answerOf(...THOUGHT, { token: "So " }, { token: "it is." });
  equal([answer.thinking, answer.content], ["Hm. ", "So it is."]);
  equal([answer.figures.tokens, answer.phase], [3, "answering"]);
  equal((answer.thinkingMs ?? -1) >= 0, true);
});

test("the time before and between tokens is measured, and the model's own count is taken", () =>
  withClock((pass) => {
    const answer = answerOf({ token: "", status: "queued", position: 2 });
    equal(answer.figures.firstTokenMs, null);
    pass(420);
    applyEvent(answer, { token: "a" });
    pass(2000);
    applyEvent(answer, { token: "b" });
    applyEvent(answer, { token: "", finish_reason: "stop", usage: { prompt_tokens: 7, completion_tokens: 101 } });
    const rows = Object.fromEntries(figures(answer));
    equal(rows["First token after"]?.slice(0, 4), "0.42");
    equal(Math.round(parseFloat(rows["Speed"] ?? "")), 50);
    equal([rows["Length"], rows["Conversation before it"]], ["101 tokens", "7 tokens"]);
  }));

test("the speed over an interrupted connection is not made up", () => {
  const answer = answerOf({ token: "a" }, { token: "b" });
  answer.figures.interrupted = true;
  equal(Object.fromEntries(figures(answer))["Speed"], "not known, the connection was interrupted");
});

test("a text that ended before its time can be continued, a whole one and an empty one cannot", () => {
  const answer = answerOf({ token: "Half" });
  equal(canContinue(answer), false);
  for (const kind of /** @type {const} */ (["cut", "unreachable", "length", "stopped", "stop"])) {
    answer.end = { kind };
    equal([kind, canContinue(answer)], [kind, kind !== "stop"]);
  }
  const empty = answerOf();
  empty.end = { kind: "cut" };
  equal(canContinue(empty), false);
});

test("when a refused question can be sent again is kept", () =>
  withClock(() => {
    const refused = { state: /** @type {const} */ ("refused"), code: "rate_limited", message: "No.", status: 429 };
    equal(endOf(answerOf(), refused), { kind: "refused", code: "rate_limited", message: "No." });
    const { until = 0 } = /** @type {{until?: number}} */ (endOf(answerOf(), { ...refused, retryAfter: 5000 }));
    equal(until, Date.now() + 5000);
  }));

test("an answer that goes on keeps its text, and where the server may have the rest, its place", () => {
  const kept = { ...answerOf({ token: "Half" }), generation: "g1", lastEventId: "1" };
  kept.end = endOf(kept, { state: "refused", code: "unauthorized", message: "Who are you?", status: 401 });
  reopen(kept);
  equal([kept.content, kept.generation, kept.lastEventId, kept.end], ["Half", "g1", "1", null]);
  kept.end = endOf(kept, { state: "gone" });
  reopen(kept);
  equal([kept.content, kept.generation, kept.lastEventId, kept.end], ["Half", "", "", null]);
});

test("what is thought after an answer was cut stands in a paragraph of its own, and its time is added", () =>
  withClock((pass) => {
    const answer = answerOf(...THOUGHT);
    pass(3000);
    applyEvent(answer, { token: "Half" });
    answer.end = { kind: "cut" };
    pass(60_000);
    reopen(answer);
    for (const event of THOUGHT) applyEvent(answer, event);
    pass(500);
    applyEvent(answer, { token: " and half." });
    equal([answer.thinking, answer.content], ["Hm. \n\nHm. ", "Half and half."]);
    equal(answer.thinkingMs, 3500);
  }));
