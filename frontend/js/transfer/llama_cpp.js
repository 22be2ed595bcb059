/**
 * Reads the exports of the web UI of llama.cpp's server: one conversation or a list of them as JSON, and since the middle
 * of 2026 JSON lines, several in a ZIP (`index.js` makes the former of the latter).
 *
 *     {conv: {id, name, lastModified, currNode}, messages: [{id, convId, type, role, parent, children, timestamp, content,
 *       reasoningContent | thinking, toolCalls, extra, timings, model}]}
 *
 *     {"type": "session", "harness": …, …conv}
 *     {"type": "message", "message": {…}}
 *
 * Sources in github.com/ggml-org/llama.cpp: `tools/ui/src/lib/types/database.d.ts`, formerly
 * `tools/server/webui/src/lib/types/database.d.ts`, for the records; `tools/ui/src/lib/services/conversation-transfer.service.ts`
 * for the lines. The UI before that one had numbers as ids.
 */

import { build, fenced, foreignId, foreignTime, isObject, list, object, optionalText, text } from "./records.js";

/** @typedef {import("./records.js").Node} Node */

export const source = "llama.cpp";

/** @param {unknown} json */
export function matches(json) {
  return Array.isArray(json) ? json.some(isConversation) : isConversation(json);
}

/** @param {unknown} json */
function isConversation(json) {
  return isObject(json) && isObject(json.conv) && "messages" in json;
}

/** @param {unknown} json @returns {unknown[]} the conversations in it, to be read one by one */
export function items(json) {
  return Array.isArray(json) ? json : [json];
}

/**
 * Make a list of conversations of the records that stand in lines; null where they are others.
 *
 * @param {unknown[]} records
 */
export function fromLines(records) {
  /** @type {{conv: unknown, messages: unknown[]}[]} */
  const sessions = [];
  for (const record of records) {
    if (!isObject(record)) return null;
    if (record.type === "session") sessions.push({ conv: record, messages: [] });
    else if (sessions.length === 0) return null;
    else if (record.type === "message") sessions.at(-1)?.messages.push(record.message);
  }
  return sessions;
}

/** @param {unknown} item */
export function titleOf(item) {
  return isObject(item) && isObject(item.conv) ? item.conv.name : "";
}

/** @param {unknown} item */
export function read(item) {
  const { conv: header, messages } = object(item);
  const conv = object(header);
  const nodes = list(messages).map((message) => node(object(message)));
  return build("llamacpp", {
    id: conv.id,
    title: conv.name,
    nodes: withoutLostRoot(nodes),
    head: conv.currNode === null || conv.currNode === undefined ? null : foreignId(conv.currNode),
    createdAt: nodes.find(({ at }) => at)?.at ?? null,
    updatedAt: foreignTime(conv.lastModified),
    pinned: conv.pinned === true,
  });
}

/**
 * @param {Record<string, unknown>} message
 * @returns {Node}
 */
function node(message) {
  const id = foreignId(message.id);
  const parent = message.parent === null || message.parent === undefined || message.parent === -1 ? null : foreignId(message.parent);
  if (message.type === "root") return { id, parent: null, role: "assistant", content: "" };
  const role = typeof message.role === "string" ? message.role : "";
  const isAnswer = role === "assistant";
  const thought = optionalText(message.reasoningContent) ?? optionalText(message.thinking);
  const called = isAnswer ? toolCalls(message.toolCalls) : "";
  const extra = Array.isArray(message.extra) ? message.extra.map(attachment).filter(Boolean) : [];
  return {
    id,
    parent,
    role,
    content: [text(message.content ?? ""), ...extra].filter(Boolean).join("\n\n"),
    thinking: [thought, called].filter(Boolean).join("\n\n"),
    at: foreignTime(message.timestamp),
    model: isAnswer ? optionalText(message.model) : null,
    ...(isAnswer && isObject(message.timings) && { figures: figures(message.timings) }),
  };
}

/** @param {unknown} calls a list, or the JSON of one */
function toolCalls(calls) {
  if (calls === undefined || calls === null || calls === "") return "";
  return fenced(typeof calls === "string" ? text(calls) : text(JSON.stringify(calls)));
}

/**
 * What was sent with a message: of what is text, the words.
 *
 * @param {unknown} value
 */
function attachment(value) {
  if (!isObject(value)) return "";
  const name = optionalText(value.name) ?? optionalText(value.type) ?? "file";
  const words = optionalText(value.content);
  return words ? `${name}\n${fenced(words)}` : `[${name}]`;
}

/** @param {Record<string, unknown>} timings */
function figures(timings) {
  const number = (/** @type {unknown} */ value) => (typeof value === "number" && value >= 0 && value < 1e12 ? value : 0);
  const [tokens, ms] = [Math.floor(number(timings.predicted_n)), number(timings.predicted_ms)];
  return {
    tokens,
    writingMs: ms,
    firstTokenMs: typeof timings.prompt_ms === "number" ? number(timings.prompt_ms) : null,
  };
}

/**
 * The root is a record that says nothing; an export of the shown path alone has not got it.
 *
 * @param {Node[]} nodes
 */
function withoutLostRoot(nodes) {
  const ids = new Set(nodes.map(({ id }) => id));
  const [first] = nodes;
  if (first && first.parent !== null && !ids.has(first.parent)) {
    const lost = first.parent;
    return nodes.map((each) => (each.parent === lost ? { ...each, parent: null } : each));
  }
  return nodes;
}
