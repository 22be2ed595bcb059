/**
 * Conversations as Markdown, to be read: of each the path that is shown, with who said what. It cannot be imported.
 *
 * The text of a message is as it was written. Where it leaves open what would swallow all that follows, a fence or a
 * piece of HTML, that is closed behind it.
 */

import { BlockParser } from "../markdown/blocks.js";
import { models } from "../models.js";
import { Tree } from "../tree.js";

/**
 * @typedef {import("./records.js").Answer} Answer
 * @typedef {import("./records.js").Message} Message
 * @typedef {import("./records.js").Whole} Whole
 *
 * @typedef {object} MarkdownWords
 * @property {string} you
 * @property {string} model
 * @property {string} system what the system prompt is called
 * @property {string} thought what is said above what a model thought
 * @property {(answer: Answer) => {text: string} | null} ending what is said of how an answer ended
 * @property {(time: number) => string} date of ms since the epoch
 */

/** What ends the pieces of HTML that only their own end does: CommonMark 0.31.2, section 4.6, kinds 2 to 5. */
const HTML_ENDS = ["", "-->", "?>", ">", "]]>"];

/**
 * @param {Whole[]} conversations
 * @param {MarkdownWords} words
 * @returns {Iterable<string>} the parts of the text
 */
export function* toMarkdown(conversations, words) {
  for (const [index, each] of conversations.entries()) yield `${index === 0 ? "" : "\n---\n\n"}${one(each, words)}`;
}

/**
 * @param {Whole} whole
 * @param {MarkdownWords} words
 */
function one({ conversation, messages }, words) {
  const { title, createdAt, head, settings } = conversation;
  const blocks = [`# ${line(title)}`, `*${words.date(createdAt)}*`];
  if (settings.system !== "") blocks.push(quoted(words.system, settings.system));
  for (const message of new Tree(messages).path(head)) {
    blocks.push(`## ${message.role === "user" ? words.you : line(message.model ? models.nameOf(message.model) : words.model)}`);
    if (message.role === "assistant") blocks.push(...answer(message, words));
    else blocks.push(closed(message.content));
  }
  return `${blocks.filter((block) => block !== "").join("\n\n")}\n`;
}

/**
 * @param {Answer} message
 * @param {MarkdownWords} words
 */
function answer(message, words) {
  const ending = words.ending(message);
  return [
    message.thinking === "" ? "" : quoted(words.thought, message.thinking),
    closed(message.content),
    ending ? `*${line(ending.text)}*` : "",
  ];
}

/**
 * A text for the side: a quotation ends whatever is left open in it.
 *
 * @param {string} name
 * @param {string} text
 */
function quoted(name, text) {
  const lines = text.trim().split("\n").map((each) => `> ${each}`.trimEnd());
  return [`> **${line(name)}**`, ">", ...lines].join("\n");
}

/**
 * A text of one line in which nothing is Markdown.
 *
 * @param {string} text
 */
function line(text) {
  return text.replace(/\s+/g, " ").trim().replace(/[\\`*_[\]<>#&~|$]/g, "\\$&");
}

/**
 * A text with what it leaves open closed. What is open within a list or a quotation ends with that.
 *
 * @param {string} text
 */
export function closed(text) {
  const parser = new BlockParser({ define: () => {}, defineFootnote: () => {} });
  for (const each of text.split(/\r\n?|\n/)) parser.add(each);
  const last = parser.root.children.at(-1);
  const end = last?.open ? endOf(last) : "";
  return end === "" ? text.trimEnd() : `${text.trimEnd()}\n${end}`;
}

/** @param {import("../markdown/block.js").Block} block */
function endOf({ isFence, kind, marker, text }) {
  if (isFence) return marker;
  if (kind !== "html") return "";
  return HTML_ENDS[Number(marker) - 1] || (Number(marker) === 1 ? `</${/<(\w+)/.exec(text)?.[1] ?? "pre"}>` : "");
}
