/**
 * Our own format: JSON that has all of a conversation and can be read again.
 *
 *     {format: "burble", version: 1, exportedAt: ms since the epoch, conversations: [{
 *       id, title, pinned, createdAt, updatedAt, head, settings,
 *       messages: [{id, parent, createdAt, role: "user", content}
 *         | {id, parent, createdAt, role: "assistant", content, think, thinking, …, figures, end}]}]}
 *
 * The fields are those of the records (`store.js`, `answer.js`): all branches, what was thought, how each answer ended.
 * Not in it are drafts, what waits to be sent, and the ids by which a server can be asked for the rest of an answer: a
 * file may be given away. An answer that runs is in it as far as it is, and was cut off there.
 *
 * A later version may add what this page does not know, so a file of one is refused as a whole.
 */

import { newAnswer } from "../answer.js";
import { defaultSettings } from "../store.js";
import { Tree } from "../tree.js";
import { Refused, isObject, list, object, ordered, ownId, text, time, title } from "./records.js";

/**
 * @typedef {import("./records.js").Answer} Answer
 * @typedef {import("./records.js").End} End
 * @typedef {import("./records.js").Message} Message
 * @typedef {import("./records.js").Whole} Whole
 */

export const source = "Burble";

export const VERSION = 1;

/** What belongs to an answer only while it runs, or to the server that wrote it. */
const RUNNING = new Set(["conversation", "phase", "position", "percent", "generation", "lastEventId"]);

/** @type {Set<unknown>} */
const ENDS = new Set(["stop", "length", "stopped", "cut", "unreachable"]);

/**
 * @param {Whole[]} conversations
 * @param {number} now ms since the epoch
 * @returns {Iterable<string>} the parts of the JSON
 */
export function* toJson(conversations, now) {
  const head = { format: "burble", version: VERSION, exportedAt: now };
  yield `${JSON.stringify(head).slice(0, -1)},"conversations":[`;
  for (const [index, each] of conversations.entries()) yield `${index === 0 ? "" : ","}\n${JSON.stringify(exported(each))}`;
  yield "\n]}\n";
}

/** @param {Whole} whole */
function exported({ conversation, messages }) {
  const { id, title, pinned, createdAt, updatedAt, head, settings } = conversation;
  return { id, title, pinned, createdAt, updatedAt, head, settings, messages: messages.map(exportedMessage) };
}

/** @param {Message} message */
function exportedMessage(message) {
  const whole = message.role === "assistant" && message.end === null ? { ...message, end: { kind: "cut" } } : message;
  return Object.fromEntries(Object.entries(whole).filter(([name]) => !RUNNING.has(name) && name !== "running"));
}

/** @param {unknown} json */
export function matches(json) {
  return isObject(json) && json.format === "burble";
}

/** @param {unknown} json @returns {unknown[]} the conversations in it, to be read one by one */
export function items(json) {
  const { version, conversations } = object(json);
  if (typeof version === "number" && version > VERSION) throw new Refused("newer");
  if (version !== VERSION || !Array.isArray(conversations)) throw new Refused("unknown");
  return conversations;
}

/** @param {unknown} item */
export function titleOf(item) {
  return isObject(item) ? item.title : "";
}

/**
 * @param {unknown} item
 * @returns {Whole}
 */
export function read(item) {
  const from = object(item);
  const id = ownId(from.id);
  const messages = ordered(list(from.messages).map((message) => readMessage(id, object(message))));
  messages.sort((a, b) => a.createdAt - b.createdAt);
  if (messages.length === 0) throw new Refused("nothing");
  const tree = new Tree(messages);
  const head = typeof from.head === "string" && tree.get(from.head) ? from.head : tree.newestEnd(null);
  return {
    conversation: {
      id,
      title: title(from.title, messages[0]?.content),
      pinned: from.pinned === true,
      createdAt: time(from.createdAt),
      updatedAt: time(from.updatedAt),
      head,
      settings: readSettings(from.settings),
      outbox: [],
      deletedAt: null,
    },
    messages,
  };
}

/**
 * @param {string} conversation
 * @param {Record<string, unknown>} from
 * @returns {Message}
 */
function readMessage(conversation, from) {
  const place = {
    id: ownId(from.id),
    conversation,
    parent: from.parent === null ? null : ownId(from.parent),
    createdAt: time(from.createdAt),
  };
  if (from.role === "user") return { ...place, role: from.role, content: text(from.content) };
  if (from.role !== "assistant") throw new Refused("role");
  const thinkingSince = or(null, time, from.thinkingSince);
  return {
    ...newAnswer({ ...place, think: flag(from.think), model: or(null, text, from.model) }),
    createdAt: place.createdAt,
    content: text(from.content),
    thinking: text(from.thinking),
    thinkingSince,
    // Without it, the thinking would seem to go on.
    thinkingMs: thinkingSince === null ? null : amount(from.thinkingMs ?? 0),
    phase: "answering",
    runs: Math.max(1, count(from.runs)),
    leftOut: count(from.leftOut),
    finishReason: or(null, readFinishReason, from.finishReason),
    figures: readFigures(object(from.figures)),
    end: readEnd(object(from.end)),
  };
}

/**
 * @param {Record<string, unknown>} from
 * @returns {import("./records.js").Figures}
 */
function readFigures(from) {
  const usage = from.usage === null ? null : object(from.usage);
  return {
    askedAt: time(from.askedAt),
    firstTokenMs: or(null, amount, from.firstTokenMs),
    lastTokenAt: or(null, time, from.lastTokenAt),
    writingMs: amount(from.writingMs),
    tokens: count(from.tokens),
    interrupted: flag(from.interrupted),
    usage: usage && { prompt: count(usage.prompt), completion: count(usage.completion) },
  };
}

/**
 * @param {Record<string, unknown>} from
 * @returns {End}
 */
function readEnd({ kind, code, message }) {
  if (kind === "failed" || kind === "refused") return { kind, code: text(code), message: text(message) };
  if (!ENDS.has(kind)) throw new Refused("shape");
  return { kind: /** @type {"stop"} */ (kind) };
}

/** @param {unknown} value */
function readFinishReason(value) {
  if (value === "stop" || value === "length" || value === "cancelled") return value;
  throw new Refused("shape");
}

/** @param {unknown} value */
function readSettings(value) {
  const from = object(value, "settings");
  const within = (/** @type {number} */ least, /** @type {number} */ most) => (/** @type {unknown} */ number) => {
    if (typeof number !== "number" || !(number >= least && number <= most)) throw new Refused("settings");
    return number;
  };
  if (typeof from.think !== "boolean") throw new Refused("settings");
  return {
    ...defaultSettings(),
    think: from.think,
    system: text(from.system),
    model: or(null, text, from.model),
    temperature: or(null, within(0, 2), from.temperature),
    topP: or(null, within(Number.MIN_VALUE, 1), from.topP),
    maxTokens: or(null, (number) => Math.floor(within(1, 1e9)(number)), from.maxTokens),
  };
}

/**
 * @template Value
 * @param {null} nothing what stands for no value
 * @param {(value: unknown) => Value} check
 * @param {unknown} value
 */
function or(nothing, check, value) {
  return value === nothing ? nothing : check(value);
}

/** @param {unknown} value */
function flag(value) {
  if (typeof value !== "boolean") throw new Refused("shape");
  return value;
}

/** @param {unknown} value a number that says how much */
function amount(value) {
  if (typeof value !== "number" || !(value >= 0 && value < 1e15)) throw new Refused("shape");
  return value;
}

/** @param {unknown} value a whole number that says how many */
function count(value) {
  return Math.floor(amount(value));
}
