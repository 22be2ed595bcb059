/** What the dialog that exports and imports says, in English. Another language is a module with the same exports. */

import { conversations, messages } from "../en.js";

/**
 * @typedef {import("../../transfer/records.js").FileReason} FileReason
 * @typedef {import("../../transfer/records.js").ConversationReason} ConversationReason
 */

export const dialog = {
  title: "Import and export",
  exporting: "Export",
  json: "As JSON",
  jsonHint: "has everything and can be imported again",
  markdown: "As Markdown",
  markdownHint: "has the shown messages, to be read",
  nothing: "There is no conversation yet.",
  importing: "Import",
  from: "A file of Burble (JSON), or the export of ChatGPT (ZIP or conversations.json), Open WebUI or llama.cpp. What is here stays.",
  choose: "Choose a file",
  drop: "or drop it here",
  reading: "Reading the file…",
  refused: "Not brought in",
  failed: "That did not work. Try it once more.",
  untitled: (/** @type {number} */ which) => `Number ${which.toLocaleString("en")} in the file`,
};

/** @param {string} title of the only conversation that is exported */
export function exportOne(title) {
  return `Export “${title}”`;
}

/** @param {number} count of the conversations that can be exported */
export function all(count) {
  return `All ${conversations(count)} of this browser.`;
}

/** @param {string} name of the file that the browser was given */
export function saved(name) {
  return `Saved as ${name}.`;
}

/**
 * @param {number} newConversations
 * @param {number} newMessages
 * @param {number} known how many of the file's conversations were here before
 */
export function report(newConversations, newMessages, known) {
  const here = `${conversations(known)} ${known === 1 ? "was" : "were"} here before`;
  if (newMessages === 0 && known > 0) return `Nothing is new: ${here}.`;
  if (newMessages === 0) return "Nothing was brought in.";
  const taken = `${newConversations === 0 ? "" : `${conversations(newConversations)} with `}${messages(newMessages)}`;
  return `Brought in: ${taken}.${known > 0 ? ` ${here}.` : ""}`;
}

/** Why a whole file was refused. @type {Record<FileReason, string>} */
export const files = {
  unreadable: "The file cannot be read.",
  tooLarge: "The file is too large: at most 200 MB of text can be imported at once.",
  empty: "The file is empty.",
  notText: "This is neither JSON nor a ZIP.",
  notJson: "This is no JSON.",
  cutOff: "The file ends too early. Perhaps it was not downloaded to its end.",
  tooDeep: "The file is nested too deeply to be a conversation.",
  zip: "There are no conversations in this ZIP. In ChatGPT's export they are in conversations.json.",
  zipBroken: "The ZIP cannot be unpacked here. Unpack it yourself, and choose conversations.json.",
  unknown: "There are no conversations in this file, or in a form that is not known here.",
  newer: "The file was made by a newer Burble. Load this page again to get the newest one.",
  tooMany: "There are more than 20,000 conversations in this file.",
  notWritten: "The browser could not keep it. Perhaps it has no room, or this is a private window. Nothing was brought in.",
};

/** Why one conversation was refused. @type {Record<ConversationReason, string>} */
export const reasons = {
  shape: "a part of it is missing or broken",
  id: "an identifier is missing or broken",
  text: "a text is missing or broken",
  role: "it is not known who says something",
  time: "a time cannot be right",
  settings: "the settings cannot be right",
  parent: "a message is missing",
  cycle: "its messages follow each other in a circle",
  twice: "it is there twice, or a message of it is",
  tangled: "its branches are too entangled",
  nothing: "nothing is in it",
};

/** What a Markdown file says. */
export const markdown = {
  system: "System prompt",
  thought: "Thought",
};
