/**
 * Reads ChatGPT's export: `conversations.json`, or `conversations-000.json` and so on, in the ZIP that its settings under
 * "Data controls" send.
 *
 *     [{conversation_id, id, title, create_time, update_time, current_node, default_model_slug,
 *       mapping: {NODE: {id, parent, children, message: {id, author: {role, name}, create_time, recipient, status,
 *         content: {content_type, parts | text | thoughts | content}, metadata}}}}]
 *
 * OpenAI does not document it. Sources: `docs/chatgpt-data-export-format.md` of github.com/mitkury/chatgpt-export-parser
 * and the README of github.com/josephjohncox/chatgpt-json-to-md, for the tree and the kinds of content;
 * `convertOpenAIMessages` in `src/lib/utils/index.ts` of github.com/open-webui/open-webui, which reads it, too.
 *
 * What ChatGPT itself does not show is left out (`is_visually_hidden_from_conversation`). What it folds away, thoughts,
 * calls of tools and what these return, is the thinking of the answer.
 */

import { build, fenced, foreignId, foreignTime, isObject, list, object, optionalText, text } from "./records.js";

/** @typedef {import("./records.js").Node} Node */

export const source = "ChatGPT";

/** @param {unknown} json */
export function matches(json) {
  return Array.isArray(json) ? json.some(isConversation) : isConversation(json);
}

/** @param {unknown} json */
function isConversation(json) {
  return isObject(json) && isObject(json.mapping);
}

/** @param {unknown} json @returns {unknown[]} the conversations in it, to be read one by one */
export function items(json) {
  return Array.isArray(json) ? json : [json];
}

/** @param {unknown} item */
export function titleOf(item) {
  return isObject(item) ? item.title : "";
}

/** @param {unknown} item */
export function read(item) {
  const conversation = object(item);
  const nodes = Object.entries(object(conversation.mapping)).map(([id, value]) => node(id, object(value)));
  return build("chatgpt", {
    id: conversation.conversation_id ?? conversation.id,
    title: conversation.title,
    nodes,
    head: typeof conversation.current_node === "string" ? conversation.current_node : null,
    createdAt: foreignTime(conversation.create_time),
    updatedAt: foreignTime(conversation.update_time),
    pinned: conversation.is_starred === true,
  });
}

/**
 * @param {string} id
 * @param {Record<string, unknown>} value
 * @returns {Node}
 */
function node(id, value) {
  const parent = value.parent === null || value.parent === undefined ? null : foreignId(value.parent);
  if (value.message === null || value.message === undefined) return { id, parent, role: "assistant", content: "" };
  const message = object(value.message);
  const author = object(message.author, "role");
  const metadata = isObject(message.metadata) ? message.metadata : {};
  const hidden = metadata.is_visually_hidden_from_conversation === true;
  const said = hidden || !isObject(message.content) ? {} : contentOf(message.content);
  const name = optionalText(author.name);
  const role = typeof author.role === "string" ? author.role : "";
  // What is said to a tool, not to the reader.
  const toTool = role === "assistant" && typeof message.recipient === "string" && message.recipient !== "all";
  const called = toTool && said.content ? `\`${text(message.recipient).replaceAll("`", "")}\`\n\n${fenced(said.content)}` : "";
  return {
    id,
    parent,
    role,
    content: toTool ? "" : (said.content ?? ""),
    thinking: called || said.thinking,
    thinkingMs: seconds(metadata.finished_duration_sec),
    at: foreignTime(message.create_time),
    model: role === "assistant" ? optionalText(metadata.model_slug) : null,
    name,
    ...(message.status === "in_progress" && !hidden && { end: { kind: "cut" } }),
  };
}

/**
 * @param {Record<string, unknown>} content
 * @returns {{content?: string, thinking?: string}}
 */
function contentOf(content) {
  switch (content.content_type) {
    case "thoughts":
      return { thinking: list(content.thoughts ?? []).map(thought).filter(Boolean).join("\n\n") };
    // How long it thought, in words.
    case "reasoning_recap":
      return {};
    case "code":
      return { content: fenced(text(content.text ?? "")) };
    default:
      if (Array.isArray(content.parts)) return { content: content.parts.map(part).filter(Boolean).join("\n\n") };
      return { content: optionalText(content.text) ?? optionalText(content.result) ?? optionalText(content.content) ?? "" };
  }
}

/** @param {unknown} value */
function thought(value) {
  const { summary, content } = object(value);
  return [optionalText(summary) && `**${optionalText(summary)}**`, optionalText(content)].filter(Boolean).join("\n\n");
}

/**
 * A part of a message: text, or what stands for a picture, a sound or the like.
 *
 * @param {unknown} value
 */
function part(value) {
  if (typeof value === "string") return text(value);
  const { content_type: kind, text: words } = object(value, "text");
  return optionalText(words) ?? `[${(optionalText(kind) ?? "attachment").replace(/_asset_pointer$/, "").replaceAll("_", " ")}]`;
}

/** @param {unknown} value */
function seconds(value) {
  return typeof value === "number" && value >= 0 && value < 1e6 ? Math.round(1000 * value) : null;
}
