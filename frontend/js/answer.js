/**
 * One answer: its state, and what the server's events make of it.
 *
 * Plain JSON, so that it can be kept as it is. Only its conversation (`chat.js`) and the reading of it (`reading.js`) change it. Several tabs may have it at
 * once, each as far as it has read: `isFurther` tells whose is to be kept.
 */

/**
 * @typedef {"sending" | "queued" | "loading" | "prefill" | "thinking" | "answering"} Phase
 *
 * How an answer ended. `stop` is the model's own end, `length` a limit, `stopped` the reader's wish; `cut` an answer
 * whose rest the server does not have any more; `failed` carries the server's words, and where it says when the same can
 * be asked again, that in ms since the epoch.
 *
 * @typedef {{kind: "stop" | "length" | "stopped" | "cut" | "unreachable"}
 *   | {kind: "failed" | "refused", code: string, message: string, until?: number}} End
 *
 * An answer is written by one generation, or, where it was continued, by several: its text, thinking and figures are
 * those of all of them together.
 *
 * @typedef {object} Answer
 * @property {string} id unique among all messages
 * @property {string} conversation
 * @property {string | null} parent the message that it answers
 * @property {number} createdAt ms since the epoch
 * @property {"assistant"} role
 * @property {string} content
 * @property {boolean} think whether thinking was asked for
 * @property {string} thinking
 * @property {number | null} thinkingSince ms since the epoch
 * @property {number | null} thinkingMs how long it thought, once it has
 * @property {Phase} phase
 * @property {number} position in the line, from 1, while queued
 * @property {number} percent of the message that was read, while prefill
 * @property {string} generation the id of the generation that writes it, "" until the server has answered
 * @property {string} lastEventId the generation's last event that is in it
 * @property {number} runs how often it was begun and gone on with
 * @property {number} leftOut how many messages before it did not fit into the prompt
 * @property {string | null} model the id of the one that writes it; null for the server's own choice, where that is not known
 * @property {"stop" | "length" | "cancelled" | null} finishReason
 * @property {Figures} figures
 * @property {End | null} end null while it runs
 *
 * @typedef {object} Figures
 * @property {number} askedAt ms since the epoch
 * @property {number | null} firstTokenMs from then to the first token, thought or answered
 * @property {number | null} lastTokenAt ms since the epoch; null before the first token of a generation
 * @property {number} writingMs from the first token to the last
 * @property {number} tokens that arrived, one an event, those of the thinking included
 * @property {boolean} interrupted the connection was not there all the time, so the tokens' times say nothing
 * @property {{prompt: number, completion: number} | null} usage the model's own count, if it ended
 */

/**
 * @param {{id: string, conversation: string, parent: string | null, think: boolean, model?: string | null}} asked
 * @returns {Answer}
 */
export function newAnswer({ id, conversation, parent, think, model = null }) {
  const now = Date.now();
  return {
    id,
    conversation,
    parent,
    createdAt: now,
    role: "assistant",
    content: "",
    think,
    thinking: "",
    thinkingSince: null,
    thinkingMs: null,
    phase: "sending",
    position: 0,
    percent: 0,
    generation: "",
    lastEventId: "",
    runs: 1,
    leftOut: 0,
    model,
    finishReason: null,
    figures: {
      askedAt: now,
      firstTokenMs: null,
      lastTokenAt: null,
      writingMs: 0,
      tokens: 0,
      interrupted: false,
      usage: null,
    },
    end: null,
  };
}

/**
 * @param {Answer} answer
 * @param {any} event the JSON of one event; see the wire's description
 */
export function applyEvent(answer, event) {
  if (event.status) {
    answer.phase = event.status;
    answer.position = event.position ?? 0;
    answer.percent = event.total ? Math.round((100 * event.done) / event.total) : 0;
  } else if (event.thinking !== undefined) {
    think(answer, event.thinking);
  } else if (event.finish_reason) {
    answer.finishReason = event.finish_reason;
    if (event.usage) addUsage(answer.figures, event.usage);
  } else if (event.token) {
    endThinking(answer);
    answer.phase = "answering";
    answer.content += event.token;
    countToken(answer.figures);
  }
}

/** @param {Answer} answer */
export function endThinking(answer) {
  if (answer.thinkingSince !== null) answer.thinkingMs ??= Date.now() - answer.thinkingSince;
}

/**
 * @param {Answer} answer
 * @param {import("./sse.js").Outcome} outcome
 * @returns {End}
 */
export function endOf(answer, outcome) {
  switch (outcome.state) {
    case "finished":
      return { kind: answer.finishReason === "cancelled" ? "stopped" : (answer.finishReason ?? "stop") };
    case "failed":
    case "refused": {
      const { state: kind, code, message, retryAfter } = outcome;
      return { kind, code, message, ...(retryAfter && { until: Date.now() + retryAfter }) };
    }
    case "unreachable":
      return { kind: "unreachable" };
    case "gone":
      return { kind: "cut" };
  }
}

/**
 * Whether the model came to its own end, with a text.
 *
 * @param {Answer} answer
 */
export function endedWell(answer) {
  return answer.end?.kind === "stop" && answer.content !== "";
}

/**
 * Whether the answer ended before its time, with a text that can be gone on with.
 *
 * @param {Answer} answer
 */
export function canContinue(answer) {
  return answer.end !== null && answer.end.kind !== "stop" && (answer.content !== "" || serverMayHaveMore(answer));
}

/**
 * Make an answer that ended run again: where the server may still have the rest, after the last event; else with a new
 * generation, which `answer.generation` being empty asks for.
 *
 * @param {Answer} answer
 */
export function reopen(answer) {
  if (serverMayHaveMore(answer)) {
    answer.figures.interrupted = true;
  } else {
    Object.assign(answer, { generation: "", lastEventId: "" });
    Object.assign(answer.figures, { lastTokenAt: null });
    if (answer.thinking !== "") answer.thinking += "\n\n";
  }
  Object.assign(answer, { phase: "sending", position: 0, percent: 0, finishReason: null, end: null });
  answer.runs += 1;
}

/**
 * Whether an answer is further than what was kept of it. A generation's text up to an event is the same for all who read
 * it, so the later event has all of the earlier one's; once somebody has ended it, it has ended.
 *
 * @param {Answer} answer
 * @param {Answer} kept
 */
export function isFurther(answer, kept) {
  if (answer.runs === kept.runs && kept.end !== null) return false;
  const [a, b] = [progress(answer), progress(kept)];
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && /** @type {number} */ (a[at]) > /** @type {number} */ (b[at]);
}

/** @param {Answer} answer */
function progress({ runs, end, generation, lastEventId }) {
  return [runs, Number(end !== null), Number(generation !== ""), Number(lastEventId)];
}

/**
 * Whether the message that this answers was not taken by the server.
 *
 * @param {import("./store.js").Message | undefined} answer
 */
export function neverArrived(answer) {
  if (answer?.role !== "assistant" || answer.content !== "") return false;
  if (isTooLong(answer)) return true;
  return answer.generation === "" && (answer.end?.kind === "refused" || answer.end?.kind === "unreachable");
}

/**
 * Whether the message that this answers cannot be taken, and so will not be when it is sent again.
 *
 * @param {Answer} answer
 */
export function isTooLong({ end }) {
  return (end?.kind === "refused" || end?.kind === "failed") && end.code === "prompt_too_long";
}

/** @param {Answer} answer */
function serverMayHaveMore({ generation, end }) {
  return generation !== "" && (end?.kind === "unreachable" || end?.kind === "refused");
}

/**
 * @param {Answer} answer
 * @param {string} text "" at the beginning and at the end
 */
function think(answer, text) {
  answer.phase = "thinking";
  if (answer.thinkingMs !== null && text !== "") {
    // It thinks again: the clock goes on where it stood.
    answer.thinkingSince = Date.now() - answer.thinkingMs;
    answer.thinkingMs = null;
  }
  answer.thinkingSince ??= Date.now();
  answer.thinking += text;
  if (text !== "") countToken(answer.figures);
}

/** @param {Figures} figures */
function countToken(figures) {
  const now = Date.now();
  figures.firstTokenMs ??= now - figures.askedAt;
  figures.writingMs += now - (figures.lastTokenAt ?? now);
  figures.lastTokenAt = now;
  figures.tokens += 1;
}

/**
 * @param {Figures} figures
 * @param {{prompt_tokens: number, completion_tokens: number}} usage
 */
function addUsage(figures, usage) {
  const before = figures.usage?.completion ?? 0;
  figures.usage = { prompt: usage.prompt_tokens, completion: before + usage.completion_tokens };
}
