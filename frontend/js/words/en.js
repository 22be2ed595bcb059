/** Everything that the page says, in English. Another language is a module with the same exports. */

import { endedWell } from "../answer.js";

/**
 * @typedef {import("../chat.js").Answer} Answer
 * @typedef {import("../sse.js").ConnectionState} ConnectionState
 */

/** What the Markdown renderer's buttons say. */
export { ENGLISH as markdown } from "../markdown/words.js";

export const language = /** @type {string} */ ("en");
export const direction = /** @type {string} */ ("ltr");

/** What index.html says; see `data-words` there, which holds the English ones itself. */
export const page = {
  newChat: "New chat",
  search: "Search",
  theme: "Theme",
  keys: "Keys",
  conversations: "Conversations",
  noConversations: "What you write is kept in this browser, and listed here.",
  close: "Close",
  transfer: "Import and export",
  deleteAll: "Delete all",
  conversation: "Conversation",
  messages: "Messages",
  model: "Model: ",
  welcome: "What is on your mind?",
  hello: "Say hello",
  helloPrompt: "Hello!",
  inside: "Look inside",
  insidePrompt: "Explain how this works",
  learn: "Learn a word",
  learnPrompt: "What is streaming?",
  example: "See an example",
  examplePrompt: "Show me some code",
  message: "Your message",
  placeholder: "Write a message",
  think: "Think first",
  attach: "Add text files",
  settings: "Settings for this conversation",
  stop: "Stop",
  send: "Send",
};

/** The names of the themes. */
export const themes = {
  system: "Theme: like the system",
  light: "Theme: light",
  dark: "Theme: dark",
};

/** Why conversations are not kept, or soon will not be. @type {Record<import("../store.js").StoreTrouble, string>} */
export const storage = {
  unavailable: "This browser keeps nothing here, as in a private window: conversations last until this page is closed.",
  newer: "A newer version of this page keeps the conversations. Load this page again; until then, nothing is kept.",
  full: "The browser has no room left: what is new will be lost with this page. Export and delete some conversations.",
  almostFull: "The browser has almost no room left for conversations. Export and delete some.",
};

/** What a copy of the page says of itself, which is shown while the server cannot be reached. */
export const offline = /** @type {string} */ (
  "The server cannot be reached. You can read, search and write here; what you send goes as soon as it is back."
);

/** What is said when the shown conversation is not there, or not any more. */
export const deletedElsewhere = /** @type {string} */ ("The conversation was deleted in another tab, where it can still be brought back for some seconds.");
export const missing = /** @type {string} */ ("This conversation is not in this browser.");

/** What stands in and around the messages. */
export const reading = {
  you: "You",
  model: "Burble",
  copy: "Copy",
  copyMarkdown: "Copy as Markdown",
  copied: "Copied",
  copyFailed: "The browser did not allow copying. The text is selected now: copy it with the browser's own command.",
  details: "Details",
  continue: "Continue",
  retry: "Retry",
  edit: "Edit message",
  branches: "Other versions",
  previousBranch: "Previous version",
  nextBranch: "Next version",
  toEnd: "To the end",
  newText: "New text",
  clumps:
    "This answer arrives in clumps. A proxy between this page and its server may be holding it back: its operator " +
    "can let it through with the header “X-Accel-Buffering: no”, or in nginx with “proxy_buffering off”.",
};

/**
 * Which of several versions of a message is shown.
 *
 * @param {number} number from 1
 * @param {number} count
 */
export function branch(number, count) {
  return `${number} / ${count}`;
}

/** What buttons of several parts of the page do. */
export const actions = {
  cancel: "Cancel",
  delete: "Delete",
  rename: "Rename",
  undo: "Undo",
};

/** The names of the composer's parts, and what is around it. */
export const writing = {
  dismiss: "Dismiss",
  drop: "Drop text files to add them to your message",
  editing: "Editing a message: sending it makes another version of it.",
  outbox: "Waiting messages",
  sendNow: "Send now",
  withdraw: "Take back",
  withdrawThis: (/** @type {string} */ beginning) => `Take back: ${beginning}`,
};

/** The list of conversations, and what can be done with one of them. */
export const list = {
  pinned: "Pinned",
  today: "Today",
  yesterday: "Yesterday",
  week: "Last 7 days",
  month: "Last 30 days",
  untitled: "Untitled",
  running: "An answer is being written",
  more: (/** @type {string} */ title) => `More: ${title}`,
  title: "Title",
  pin: "Pin",
  unpin: "Unpin",
  export: "Export",
  renamed: (/** @type {string} */ title) => `Renamed: ${title}`,
  pinnedThis: (/** @type {string} */ title) => `Pinned: ${title}`,
  unpinnedThis: (/** @type {string} */ title) => `Unpinned: ${title}`,
  deleted: (/** @type {string} */ title) => `Deleted: ${title}`,
  restored: (/** @type {string} */ title) => `Brought back: ${title}`,
  deleteAllTitle: "Delete all conversations?",
};

const months = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });

/**
 * A month of a year: "October 2026".
 *
 * @param {number} time within it, ms since the epoch
 */
export function month(time) {
  return months.format(time);
}

/** @param {number} count @returns {string} */
export function conversations(count) {
  return count === 1 ? "1 conversation" : `${count.toLocaleString("en")} conversations`;
}

/** @param {number} count @returns {string} */
export function messages(count) {
  return count === 1 ? "1 message" : `${count.toLocaleString("en")} messages`;
}

/**
 * What goes when all conversations are deleted.
 *
 * @param {number} count of them
 */
export function deleteAll(count) {
  const whose = count === 1 ? "its" : "their";
  return `${conversations(count)} with all ${whose} messages, in this browser. This cannot be undone.`;
}

/** @param {number} count of the conversations that were deleted */
export function deletedAll(count) {
  return `Deleted: ${conversations(count)}`;
}

/** The settings of a conversation. */
export const settings = {
  note: "They hold from your next message on.",
  changed: "Settings for this conversation (changed)",
  notLoaded: "The settings could not be loaded. Try again when the connection is back.",
  done: "Done",
  reset: "Back to the defaults",
  isReset: "The defaults are used now.",
  undone: "Undone",

  system: "System prompt",
  systemNote: "What the model is told before the conversation, such as who it is and how it answers.",
  systemTooLong: (/** @type {number} */ most) => `Not taken: it has to be shorter than ${characters(most)}.`,
  temperature: "Temperature",
  temperatureNote: "From 0, the likeliest words, to 2, the most surprising ones.",
  temperatureWrong: "Not taken: it has to be a number from 0 to 2, such as 0.7.",
  topP: "Top-p",
  topPNote: "Above 0, up to 1. Words are chosen from the likeliest ones that have this share together.",
  topPWrong: "Not taken: it has to be a number above 0, up to 1, such as 0.9.",
  maxTokens: "Max tokens",
  maxTokensNote: "Where an answer ends at the latest. A token is a short word, or a piece of a longer one.",
  maxTokensWrong: "Not taken: it has to be a whole number from 1 on, such as 500.",
  modelsOwn: "Model's own",
  think: "Think first",
  thinkNote: "The model thinks before it answers, which takes longer.",
  notTaken: "This model does not take it.",

  preset: "Preset",
  defaults: "Defaults",
  none: "No preset",
  presets: "Your presets",
  save: "Save as preset…",
  saveName: "Save",
  name: "Name of the preset",
  nameMissing: "It has to have a name.",
  nameTaken: "Another preset has this name.",
  renameThis: (/** @type {string} */ name) => `Rename: ${name}`,
  replace: "Replace",
  replaceThis: (/** @type {string} */ name) => `Replace by these settings: ${name}`,
  removeThis: (/** @type {string} */ name) => `Delete: ${name}`,
  used: (/** @type {string} */ name) => `“${name}” is used now.`,
  saved: (/** @type {string} */ name) => `“${name}” is saved.`,
  replaced: (/** @type {string} */ name) => `“${name}” has these settings now.`,
  removed: (/** @type {string} */ name) => `“${name}” is deleted.`,
  notKept: "The browser could not keep this.",
};

/** Which model answers, and what it can do. */
export const models = {
  all: "Models",
  chosen: (/** @type {string} */ name) => `${name} answers from your next message on.`,
  gone: (/** @type {string} */ name, /** @type {string} */ instead) => `“${name}” is not served any more: ${instead} answers.`,
  use: (/** @type {string} */ name) => `Use ${name}`,
  /** @param {import("../models.js").Model} model @returns {string} */
  can({ takes, thinking, system, contextTokens }) {
    if (takes === null) return "Not loaded yet";
    const can = [thinking ? "Thinking" : "", system ? "System prompt" : "Sees your last message alone"];
    if (contextTokens !== null) can.push(`${contextTokens.toLocaleString("en")} tokens`);
    return can.filter(Boolean).join(" · ");
  },
};

/** The search, and what it finds. */
export const searching = {
  results: "Results",
  more: "Show more",
  loading: "Still reading the others…",
  count: (/** @type {number} */ count) => (count === 0 ? "Nothing was found." : conversations(count)),
  /** @param {number} count of messages beside the one that is shown, or where only the title is, of all */
  others: (/** @type {number} */ count, /** @type {boolean} */ inTitle) =>
    `and in ${inTitle ? messages(count) : messages(count).replace(" ", " more ")}`,
  day: (/** @type {Date} */ day) => day.toLocaleDateString("en", { dateStyle: "medium" }),
};

/** What the keys do. */
export const keys = {
  send: "Send the message",
  newLine: "Start a new line",
  edit: "Edit the last message, when the composer is empty",
  stop: "Stop the answer, or close what is open",
  newChat: "Begin a new chat",
  search: "Search all conversations, when no text is being written",
  help: "Show these keys, when no text is being written",
};

/**
 * What the keys do right now, beside the composer.
 *
 * @param {boolean} running whether an answer runs
 * @param {boolean} touch whether one writes on the screen, where Enter starts a new line
 * @returns {string}
 */
export function hint(running, touch) {
  if (running) return "What you send waits for this answer";
  return touch ? "" : "Enter sends, Shift + Enter starts a new line";
}

/**
 * @param {number} count of the messages that wait
 * @param {boolean} held whether they wait for the reader, not for the end of an answer
 */
export function outbox(count, held) {
  return `${held ? "Held back" : "Waiting"}: ${messages(count)}`;
}

/** @param {number} count */
function characters(count) {
  return count === 1 ? "1 character" : `${count.toLocaleString("en")} characters`;
}

/**
 * Why a message was not sent.
 *
 * @param {number} over how many characters it has too many
 * @param {number} most how many it may have
 */
export function tooLong(over, most) {
  return `Your message is too long by ${characters(over)}: it may have at most ${characters(most)}.`;
}

/**
 * What was not sent of a conversation.
 *
 * @param {number} count of its messages, at least 1
 */
export function leftOut(count) {
  return count === 1
    ? "The first message did not fit and was not sent."
    : `The first ${count.toLocaleString("en")} messages did not fit and were not sent.`;
}

/** @param {string[]} names of the files that are in the message now */
export function filesAdded(names) {
  return `Added: ${names.join(", ")}`;
}

/**
 * Why a file is not in the message.
 *
 * @param {string} name
 * @param {import("../files.js").Refusal} reason
 * @param {{file: number, message: number}} limits in characters
 */
export function fileRefused(name, reason, limits) {
  const reasons = {
    empty: "is empty.",
    tooLarge: `is too long: a file may have at most ${characters(limits.file)}.`,
    binary: "is not a text file.",
    unreadable: "cannot be read.",
    noRoom: `does not fit: the message would be longer than ${characters(limits.message)}.`,
  };
  return `“${name}” ${reasons[reason]}`;
}

/**
 * What the server says of an error. Its own words are English; another language has its own for what can be known.
 *
 * @param {string} code
 * @param {string} message
 * @param {"refused" | "failed"} [kind] of the answer's end
 */
export function problem(code, message, kind = "refused") {
  // The server speaks of all messages together; here it is the last one, for the others are left out. A model counts
  // otherwise, and knows more.
  if (code === "prompt_too_long" && kind === "refused") return "Your message is too long for this server. Shorten it, or the system prompt.";
  return message;
}

const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
/** @type {Record<string, string>} */
const SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };

/**
 * What the reader waits for, or "" while text arrives.
 *
 * @param {Answer} answer
 * @param {ConnectionState} connection
 */
export function waiting(answer, connection) {
  if (connection === "offline") return "You are offline. This goes on as soon as the connection is back.";
  if (connection === "reconnecting") return "Connection lost. Reconnecting…";
  if (connection === "locked") return "Waiting for the key of this server…";
  switch (answer.phase) {
    case "sending":
      return answer.generation === "" ? "Sending…" : "Waiting for the first word…";
    case "queued":
      return `Waiting in line, ${answer.position}${SUFFIXES[ordinals.select(answer.position)]}`;
    case "loading":
      return "Loading the model…";
    case "prefill":
      return answer.percent > 0 ? `Reading your message… ${answer.percent} %` : "Reading your message…";
    default:
      return "";
  }
}

/**
 * @param {Answer} answer one that thinks or has thought
 * @param {number} now ms since the epoch
 */
export function thinkingSummary({ thinkingSince, thinkingMs }, now) {
  if (thinkingMs !== null) return `Thought for ${duration(Math.max(1000, thinkingMs))}`;
  const elapsed = now - (thinkingSince ?? now);
  return elapsed < 1000 ? "Thinking…" : `Thinking… ${duration(elapsed)}`;
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const moments = new Intl.DateTimeFormat("en", { timeStyle: "short" });
const days = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });

/**
 * When something can be done again: "in 23 s", "at 2:30 PM".
 *
 * @param {number} until ms since the epoch
 * @param {number} now
 */
export function when(until, now) {
  const seconds = Math.ceil((until - now) / 1000);
  if (seconds < 100) return `in ${seconds} s`;
  if (seconds < 3600) return `in ${Math.ceil(seconds / 60)} min`;
  const isToday = new Date(until).toDateString() === new Date(now).toDateString();
  return `${isToday ? "" : `on ${days.format(until)} `}at ${moments.format(until)}`;
}

/** What can be done about a question that was refused for now. */
export const again = {
  byItself: (/** @type {string} */ when) => `It is sent again ${when}.`,
  possible: (/** @type {string} */ when) => `You can send it again ${when}.`,
  now: "You can send it again now.",
};

/**
 * What is to be known about an ended answer's speed and length: names and values.
 *
 * @param {Answer} answer
 * @returns {[string, string][]}
 */
export function figures({ figures: { firstTokenMs, writingMs, tokens, interrupted, usage }, thinkingMs, model }) {
  /** @param {number} value @param {number} digits */
  const number = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const count = Math.max(tokens, usage?.completion ?? 0);
  // What a model did not count itself is known by its events, which may have several each.
  const about = usage ? "" : "about ";
  /** @type {[string, string][]} */
  const rows = [];
  if (model !== null) rows.push(["Model", model]);
  if (firstTokenMs !== null) rows.push(["First token after", `${number(firstTokenMs / 1000, 2)} s`]);
  if (interrupted) rows.push(["Speed", "not known, the connection was interrupted"]);
  else if (writingMs > 0) rows.push(["Speed", `${number((1000 * (count - 1)) / writingMs, 1)} tokens/s`]);
  rows.push(["Length", `${about}${number(count, 0)} ${count === 1 ? "token" : "tokens"}`]);
  if (usage) rows.push(["Conversation before it", `${number(usage.prompt, 0)} tokens`]);
  if (thinkingMs !== null) rows.push(["Thought for", duration(Math.max(1000, thinkingMs))]);
  return rows;
}

/**
 * What is to be said about an ended answer: nothing when it ended well.
 *
 * @param {Answer} answer
 * @returns {{text: string, code: string, error: boolean} | null}
 */
export function ending({ end, content }) {
  const cutOff = "This answer was cut off here.";
  switch (end?.kind) {
    case "length":
      return { text: "The answer reached its length limit and ends here.", code: "", error: false };
    case "stop":
      return content === "" ? { text: "The model gave an empty answer.", code: "", error: false } : null;
    case "stopped":
      return { text: "Stopped", code: "", error: false };
    case "cut":
      return { text: `${cutOff} Its rest is no longer there.`, code: "", error: true };
    case "unreachable":
      return {
        text: content === "" ? "The server cannot be reached. Your message is still here." : `${cutOff} The server cannot be reached.`,
        code: "",
        error: true,
      };
    case "failed":
    case "refused": {
      const message = problem(end.code, end.message, end.kind);
      return { text: content === "" ? message : `${cutOff} ${message}`, code: end.code, error: true };
    }
    default:
      return null;
  }
}

/**
 * One short line for those who listen to the page. An error is not in it: its note is an alert.
 *
 * @param {Answer} answer the last answer
 * @param {ConnectionState} connection
 */
export function announcement(answer, connection) {
  if (endedWell(answer)) return "The answer is complete.";
  if (answer.end) {
    const said = ending(answer);
    return said && !said.error ? said.text : "";
  }
  return waiting(answer, connection) || (answer.phase === "thinking" ? "Thinking…" : "Answering…");
}
