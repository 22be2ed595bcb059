/**
 * Makes our records of what stands in a file, or refuses it with a reason. What a file says is never trusted: each field
 * is taken by its name and checked, objects are never merged or walked by a function that calls itself, and ids are only
 * ever keys of a Map.
 */

import { newAnswer } from "../answer.js";
import { defaultSettings } from "../store.js";
import { Tree } from "../tree.js";

/**
 * @typedef {import("../answer.js").Answer} Answer
 * @typedef {import("../answer.js").End} End
 * @typedef {import("../answer.js").Figures} Figures
 * @typedef {import("../store.js").Conversation} Conversation
 * @typedef {import("../store.js").Message} Message
 * @typedef {{conversation: Conversation, messages: Message[]}} Whole a conversation with all its messages
 *
 * Why a whole file is refused: it is `unreadable` (gone, a folder), `tooLarge`, `empty`, `notText`, `notJson`, `cutOff`
 * (JSON that just ends), `tooDeep`, a ZIP with no conversations in it (`zip`) or one that cannot be unpacked here
 * (`zipBroken`), of a format that is `unknown` or, if it is ours, `newer`, has `tooMany` conversations, or it was read
 * and could not be written (`notWritten`).
 *
 * @typedef {"unreadable" | "tooLarge" | "empty" | "notText" | "notJson" | "cutOff" | "tooDeep" | "zip" | "zipBroken"
 *   | "unknown" | "newer" | "tooMany" | "notWritten"} FileReason
 *
 * Why one conversation is: something is not what it has to be (`shape`), or an `id`, a `text`, a `role`, a `time`, or a
 * setting (`settings`); a `parent` is missing, messages follow each other in a circle (`cycle`), an id is there `twice`,
 * branches would repeat too much (`tangled`), or there is nothing in it (`nothing`).
 *
 * @typedef {"shape" | "id" | "text" | "role" | "time" | "settings" | "parent" | "cycle" | "twice" | "tangled" | "nothing"} ConversationReason
 *
 * One message of another program's tree.
 *
 * @typedef {object} Node
 * @property {string} id
 * @property {string | null} parent
 * @property {string} role "user" and "assistant"; the first "system" becomes the system prompt, others are said by the
 *   user; "tool" is part of an answer's thinking
 * @property {string} content
 * @property {string} [thinking]
 * @property {number | null} [thinkingMs] how long it thought, where that is known
 * @property {number | null} [at] ms since the epoch
 * @property {string | null} [model]
 * @property {End} [end] "stop" if it is left out
 * @property {Partial<Figures>} [figures]
 * @property {string | null} [name] of the tool
 *
 * A message that says something: the one `before` it, how long it is together with those of the same side right before
 * it, and whether one of the `same` or the `other` side follows.
 *
 * @typedef {Node & {role: "user" | "assistant", before: Said | null, size: number, same: boolean, other: boolean}} Said
 */

/** Why a file or a conversation is not taken in. */
export class Refused extends Error {
  /** @param {FileReason | ConversationReason} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** The latest time that is believed, in ms since the epoch: one of the year 9999 would stay the newest for ever. */
const MAX_TIME = Date.UTC(2100, 0);

/** From here on, a number is a time in ms; before it, in seconds (this one: 1973 in ms, the year 5138 in seconds). */
const MS_FROM = 1e11;

/** What a title may have, in characters: more is never shown of it. */
const MAX_TITLE_CHARS = 300;

/** The longest system-made title, in characters. */
const TITLE_CHARS = 60;

/** Ids of ours stand in addresses; what begins with "_" may be a name that objects have. */
const ID = /^[0-9A-Za-z][0-9A-Za-z_.-]{0,199}$/;

/** How many times the text that there is may be repeated for branches that begin within an answer. */
const MAX_REPEATS = 8;

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @param {ConversationReason} [reason] */
export function object(value, reason = "shape") {
  if (!isObject(value)) throw new Refused(reason);
  return value;
}

/** @param {unknown} value @returns {unknown[]} */
export function list(value) {
  if (!Array.isArray(value)) throw new Refused("shape");
  return value;
}

/** A string; half a character in it, which a server would choke on, is replaced. @param {unknown} value */
export function text(value) {
  if (typeof value !== "string") throw new Refused("text");
  return value.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** @param {unknown} value */
export function ownId(value) {
  if (typeof value !== "string" || !ID.test(value)) throw new Refused("id");
  return value;
}

/** A time of ours, in ms. @param {unknown} value */
export function time(value) {
  if (typeof value !== "number" || !(value >= 0 && value < MAX_TIME)) throw new Refused("time");
  return value;
}

/**
 * A time of another program, or null where there is none that can be believed: that is no reason to refuse words.
 *
 * @param {unknown} value in seconds or in ms
 */
export function foreignTime(value) {
  if (typeof value !== "number" || !(value > 0)) return null;
  const ms = Math.round(value < MS_FROM ? value * 1000 : value);
  return ms < MAX_TIME ? ms : null;
}

/** An id of another program. @param {unknown} value */
export function foreignId(value) {
  const id = typeof value === "number" ? String(value) : value;
  if (typeof id !== "string" || id === "" || id.length > 1000) throw new Refused("id");
  return id;
}

/** @param {unknown} value @returns {string | null} */
export function optionalText(value) {
  return typeof value === "string" && value !== "" ? text(value) : null;
}

/** @param {unknown} value @param {string} otherwise what to make one of where there is none */
export function title(value, otherwise = "") {
  const given = (typeof value === "string" ? text(value) : "").replace(/\s+/g, " ").trim();
  if (given !== "") return [...given.slice(0, MAX_TITLE_CHARS + 1)].slice(0, MAX_TITLE_CHARS).join("");
  const [line = ""] = otherwise.trim().split("\n", 1);
  return line.length > TITLE_CHARS ? `${[...line].slice(0, TITLE_CHARS).join("")}…` : line;
}

/**
 * Put messages into the order of a tree, the parents first.
 *
 * Throws `Refused` for an id that is there twice, a parent that is missing, and messages that follow in a circle.
 *
 * @template {{id: string, parent: string | null}} Item
 * @param {Item[]} items
 */
export function ordered(items) {
  const byId = new Map(items.map((item) => [item.id, item]));
  if (byId.size < items.length) throw new Refused("twice");
  /** @type {Map<string | null, Item[]>} */
  const children = new Map();
  for (const item of items) {
    if (item.parent !== null && !byId.has(item.parent)) throw new Refused("parent");
    const siblings = children.get(item.parent);
    if (siblings) siblings.push(item);
    else children.set(item.parent, [item]);
  }
  const order = [...(children.get(null) ?? [])];
  for (const item of order) for (const child of children.get(item.id) ?? []) order.push(child);
  // Those in a circle are below no root.
  if (order.length < items.length) throw new Refused("cycle");
  return order;
}

/**
 * A text that stands in a fence of its own, which nothing in it closes.
 *
 * @param {string} text
 */
export function fenced(text) {
  const longest = (text.match(/`+/g) ?? []).reduce((most, run) => Math.max(most, run.length), 2);
  const fence = "`".repeat(longest + 1);
  return `${fence}\n${text}${text.endsWith("\n") ? "" : "\n"}${fence}`;
}

/**
 * Make a conversation of ours out of another program's: questions and answers in turn, so that it can be shown and gone
 * on with. No word is lost: messages of one side that follow each other become one; branches that begin within such a row
 * each get all of it. What is empty is left out, and a question without an answer gets an empty one that was cut off.
 *
 * The ids are made from theirs, so the same file always gives the same records.
 *
 * @param {string} source the beginning of all ids
 * @param {object} from
 * @param {unknown} from.id
 * @param {unknown} from.title
 * @param {Node[]} from.nodes in any order
 * @param {string | null} from.head the message at which the shown path ends; null or an unknown one: the newest end
 * @param {number | null} from.createdAt ms since the epoch
 * @param {number | null} from.updatedAt ms since the epoch
 * @param {boolean} [from.pinned]
 * @param {string} [from.system] the system prompt, if it is no message
 * @returns {Whole}
 */
export function build(source, { id: foreign, title: name, nodes, head, createdAt, updatedAt, pinned, system }) {
  const id = derivedId(source, foreignId(foreign));
  const settings = { ...defaultSettings(), system: system ?? "" };

  // 1. What says something, as said by one of two sides; each with the one before it that does.
  /** @type {Map<string, Said | null>} */
  const said = new Map();
  let size = 0;
  for (const node of ordered(nodes)) {
    const before = node.parent === null ? null : (said.get(node.parent) ?? null);
    const isPrompt = node.role === "system" && before === null && settings.system === "";
    if (isPrompt) settings.system = node.content.trim() === "" ? "" : node.content;
    const turn = asTurn(node);
    if (isPrompt || isEmpty(turn)) {
      said.set(node.id, before);
      continue;
    }
    const own = turn.content.length + (turn.thinking?.length ?? 0) + 1;
    const same = before?.role === turn.role;
    size += own;
    said.set(node.id, { ...turn, before, size: own + (same ? before.size : 0), same: false, other: false });
    if (before) before[same ? "same" : "other"] = true;
  }

  // 2. Where a row of one side ends, or something follows from the other side, is one message of ours.
  /** @type {Map<Said, Message>} */
  const made = new Map();
  /** @type {Message[]} */
  const messages = [];
  let repeated = 0;
  for (const end of said.values()) {
    if (!end || made.has(end) || (end.same && !end.other)) continue;
    repeated += end.size;
    // Else a small file could become an enormous conversation.
    if (repeated > MAX_REPEATS * size) throw new Refused("tangled");
    /** @type {Said[]} */
    const row = [];
    /** @type {Said | null} */
    let turn = end;
    for (; turn?.role === end.role; turn = turn.before) row.push(turn);
    row.reverse();
    const parent = (turn && made.get(turn)) ?? null;
    const at = row[0]?.at ?? createdAt ?? updatedAt ?? Date.now();
    const place = {
      id: derivedId(id, end.id),
      conversation: id,
      parent: parent?.id ?? null,
      // After its parent, also where the times are equal or wrong.
      createdAt: parent ? Math.max(at, parent.createdAt + 1) : at,
    };
    const content = joined(row.map((each) => each.content));
    /** @type {Message} */
    const message = end.role === "user" ? { ...place, role: "user", content } : answer(place, content, row);
    made.set(end, message);
    messages.push(message);
    if (end.role === "user" && !end.other) {
      const unanswered = { ...place, id: `${place.id}-answer`, parent: place.id, createdAt: place.createdAt + 1 };
      messages.push(answer(unanswered, "", [{ end: { kind: "cut" } }]));
    }
  }
  if (messages.length === 0) throw new Refused("nothing");
  if (new Set(messages.map((message) => message.id)).size < messages.length) throw new Refused("twice");

  // As the store has them. None is older than its parent, and siblings may be in any order in a file.
  messages.sort((a, b) => a.createdAt - b.createdAt);

  // 3. The path that is shown, and what is told of the whole.
  const tree = new Tree(messages);
  const shown = (head !== null && said.get(head)) || null;
  const message = shown && made.get(shown);
  const end = message?.role === "assistant" ? message.id : tree.newestEnd(message?.id ?? null);
  const first = messages.find(({ role }) => role === "user") ?? messages[0];
  return {
    conversation: {
      id,
      title: title(name, first?.content),
      pinned: pinned ?? false,
      createdAt: createdAt ?? first?.createdAt ?? Date.now(),
      updatedAt: updatedAt ?? tree.get(end)?.createdAt ?? Date.now(),
      head: end,
      // Their models are not this server's: its own choice answers from now on.
      settings,
      outbox: [],
      deletedAt: null,
    },
    messages,
  };
}

/**
 * A node as said by one of the two sides.
 *
 * @param {Node} node
 * @returns {Node & {role: "user" | "assistant"}}
 */
function asTurn(node) {
  const isBlank = node.content.trim() === "";
  switch (node.role) {
    case "user":
    case "assistant":
      return { ...node, role: node.role, content: isBlank ? "" : node.content };
    case "system":
      return { ...node, role: "user", content: isBlank ? "" : `[system]\n\n${node.content}` };
    case "tool": {
      const called = node.name ? `\`${node.name.replaceAll("`", "")}\`` : "";
      return { ...node, role: "assistant", content: "", thinking: isBlank ? "" : joined([called, fenced(node.content)]) };
    }
    default:
      throw new Refused("role");
  }
}

/** @param {Node} turn */
function isEmpty({ content, thinking, thinkingMs, end }) {
  return content === "" && !thinking && !thinkingMs && (end?.kind ?? "stop") === "stop";
}

/**
 * @param {{id: string, conversation: string, parent: string | null, createdAt: number}} place
 * @param {string} content
 * @param {Pick<Node, "thinking" | "thinkingMs" | "model" | "end" | "figures">[]} row what it was made of
 * @returns {Answer}
 */
function answer(place, content, row) {
  const thinking = joined(row.map((each) => each.thinking ?? ""));
  const end = row.at(-1)?.end ?? { kind: "stop" };
  const made = newAnswer({ ...place, think: thinking !== "", model: row.findLast(({ model }) => model)?.model ?? null });
  const thought = thinking === "" ? null : row.reduce((sum, { thinkingMs }) => sum + (thinkingMs ?? 0), 0);
  return {
    ...made,
    createdAt: place.createdAt,
    content,
    thinking,
    thinkingSince: thinking === "" ? null : place.createdAt,
    thinkingMs: thought,
    phase: "answering",
    finishReason: end.kind === "stop" || end.kind === "length" ? end.kind : null,
    figures: { ...made.figures, askedAt: place.createdAt, ...row.findLast(({ figures }) => figures)?.figures },
    end,
  };
}

/** @param {string[]} texts */
function joined(texts) {
  return texts.filter((each) => each !== "").join("\n\n");
}

/**
 * An id of ours, always the same for the same id of theirs.
 *
 * @param {string} prefix
 * @param {string} id
 */
function derivedId(prefix, id) {
  return `${prefix}-${/^[0-9A-Za-z_.-]{1,64}$/.test(id) ? id : `x${hash(id)}`}`;
}

/** 64 bits of a text, in hexadecimal (FNV-1a, twice): `crypto.subtle` is missing by plain http. @param {string} text */
function hash(text) {
  let [a, b] = [0x811c9dc5, 0x2f0b4a27];
  for (let index = 0; index < text.length; index += 1) {
    a = Math.imul(a ^ text.charCodeAt(index), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(index), 0x0100019b);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
