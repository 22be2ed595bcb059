/**
 * Reads Open WebUI's exports: "Export chats" of its settings, one chat from its menu, and the older form, which is the
 * inner part alone.
 *
 *     [{id, title, pinned, created_at, updated_at, chat: {title, models, system, timestamp,
 *       history: {currentId, messages: {ID: {id, parentId, childrenIds, role, content, timestamp, model, models, error}}},
 *       messages: [the shown path of it]}}]
 *
 * Sources in github.com/open-webui/open-webui: `exportChats` and `importChatsHandler` in
 * `src/lib/components/chat/Settings/DataControls.svelte` for the list and the older form, `convertOpenAIChats` in
 * `src/lib/utils/index.ts` for the messages. What a model thought stands in the text itself, as
 * `<details type="reasoning" done="true" duration="2">` with a summary and, most of the time, a quotation.
 */

import { build, foreignId, foreignTime, isObject, list, object, optionalText, text } from "./records.js";

/** @typedef {import("./records.js").Node} Node */

export const source = "Open WebUI";

/** @param {unknown} json */
export function matches(json) {
  return Array.isArray(json) ? json.some(isChat) : isChat(json);
}

/** @param {unknown} json */
function isChat(json) {
  if (!isObject(json)) return false;
  const chat = isObject(json.chat) ? json.chat : json;
  if (isObject(chat.history) && isObject(chat.history.messages)) return true;
  return chat !== json && Array.isArray(chat.messages);
}

/** @param {unknown} json @returns {unknown[]} the conversations in it, to be read one by one */
export function items(json) {
  return Array.isArray(json) ? json : [json];
}

/** @param {unknown} item */
export function titleOf(item) {
  if (!isObject(item)) return "";
  return item.title ?? (isObject(item.chat) ? item.chat.title : "");
}

/** @param {unknown} item */
export function read(item) {
  const outer = object(item);
  const chat = isObject(outer.chat) ? outer.chat : outer;
  const history = isObject(chat.history) ? chat.history : {};
  const nodes = isObject(history.messages) ? tree(history.messages) : row(list(chat.messages));
  const createdAt = foreignTime(outer.created_at) ?? foreignTime(chat.timestamp);
  return build("open-webui", {
    // The older form may have none: then the first message's, which the next export has, too.
    id: optionalText(outer.id) ?? optionalText(chat.id) ?? nodes[0]?.id,
    title: titleOf(item) ?? chat.title,
    nodes,
    head: typeof history.currentId === "string" ? history.currentId : (nodes.at(-1)?.id ?? null),
    createdAt,
    updatedAt: foreignTime(outer.updated_at),
    pinned: outer.pinned === true,
    system: optionalText(chat.system) ?? (isObject(chat.params) ? optionalText(chat.params.system) : null) ?? "",
  });
}

/** @param {Record<string, unknown>} messages */
function tree(messages) {
  return Object.entries(messages).map(([id, value]) => {
    const message = object(value);
    return node(id, message.parentId === null || message.parentId === undefined ? null : foreignId(message.parentId), message);
  });
}

/**
 * A list of messages, which may know of no tree.
 *
 * @param {unknown[]} messages
 */
function row(messages) {
  /** @type {Node[]} */
  const nodes = [];
  for (const value of messages) {
    const message = object(value);
    const id = message.id === undefined ? String(nodes.length) : foreignId(message.id);
    nodes.push(node(id, nodes.at(-1)?.id ?? null, message));
  }
  return nodes;
}

/**
 * @param {string} id
 * @param {string | null} parent
 * @param {Record<string, unknown>} message
 * @returns {Node}
 */
function node(id, parent, message) {
  const role = typeof message.role === "string" ? message.role : "";
  const content = joinedContent(message);
  const isAnswer = role === "assistant";
  const error = isAnswer ? errorOf(message.error) : null;
  return {
    id,
    parent,
    role,
    ...(isAnswer ? withoutReasoning(content) : { content }),
    at: foreignTime(message.timestamp),
    model: isAnswer ? optionalText(message.model) : null,
    ...(error !== null && { end: { kind: /** @type {const} */ ("failed"), code: "imported", message: error } }),
    ...(isAnswer && error === null && message.done === false && { end: { kind: /** @type {const} */ ("cut") } }),
  };
}

/**
 * The text, and in its place what stands for its files; of a pasted text file, its words.
 *
 * @param {Record<string, unknown>} message
 */
function joinedContent({ content, files }) {
  const parts = Array.isArray(content) ? content.map(part) : [text(content ?? "")];
  for (const file of Array.isArray(files) ? files : []) {
    if (!isObject(file)) continue;
    const name = optionalText(file.name);
    parts.push(`[${optionalText(file.type) ?? "file"}${name ? `: ${name}` : ""}]`);
  }
  return parts.filter(Boolean).join("\n\n");
}

/** @param {unknown} value a part as of OpenAI's API */
function part(value) {
  if (typeof value === "string") return text(value);
  const { type, text: words } = object(value, "text");
  return optionalText(words) ?? `[${(optionalText(type) ?? "attachment").replace(/_url$/, "")}]`;
}

/** @param {unknown} error `true`, a text, or `{content}` */
function errorOf(error) {
  if (error === undefined || error === null || error === false) return null;
  return optionalText(error) ?? (isObject(error) ? optionalText(error.content) : null) ?? "?";
}

const OPENING = "<details";
const CLOSING = "</details>";

/** The longest tag of a reasoning, in characters: to look for its end any further would take ever longer. */
const MAX_TAG_CHARS = 500;

/**
 * Take what was thought out of a text.
 *
 * @param {string} content
 * @returns {{content: string, thinking?: string, thinkingMs?: number | null}}
 */
function withoutReasoning(content) {
  /** @type {string[]} */
  const thoughts = [];
  let said = "";
  let thinkingMs = 0;
  let from = 0;
  for (let at = content.indexOf(OPENING); at >= 0; at = content.indexOf(OPENING, at + 1)) {
    const tag = content.slice(at, at + MAX_TAG_CHARS).split(">", 1)[0] ?? "";
    if (!/\stype="reasoning"/.test(tag)) continue;
    const end = content.indexOf(CLOSING, at);
    said += content.slice(from, at);
    thoughts.push(unquoted(content.slice(at + tag.length + 1, end < 0 ? undefined : end)));
    thinkingMs += 1000 * Number(/\sduration="(\d{1,6})"/.exec(tag)?.[1] ?? 0);
    from = end < 0 ? content.length : end + CLOSING.length;
    from += /^\s*/.exec(content.slice(from))?.[0].length ?? 0;
    at = from - 1;
  }
  if (thoughts.length === 0) return { content };
  return { content: said + content.slice(from), thinking: thoughts.filter(Boolean).join("\n\n"), thinkingMs };
}

/** @param {string} reasoning what is in the element: a summary, then quoted lines, escaped as HTML */
function unquoted(reasoning) {
  const lines = reasoning.replace(/^\s*<summary>[^<]*<\/summary>\s*/, "").trimEnd().split("\n");
  const plain = lines.every((line) => line === "" || line.startsWith(">")) ? lines.map((line) => line.replace(/^> ?/, "")) : lines;
  return plain
    .join("\n")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#x27;", "'")
    .replaceAll("&amp;", "&")
    .trim();
}
