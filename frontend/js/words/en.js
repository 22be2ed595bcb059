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
  theme: "Theme",
  keys: "Keys",
  conversation: "Conversation",
  messages: "Messages",
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
  stop: "Stop",
  send: "Send",
};

/** The names of the themes. */
export const themes = {
  system: "Theme: like the system",
  light: "Theme: light",
  dark: "Theme: dark",
};

/** Why the conversation is not kept for a reload. */
export const storage = {
  unreadable: "The saved conversation could not be read.",
  full: "The browser has no room to save this conversation: a reload would lose its newest part.",
};

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
  toEnd: "To the end",
  newText: "New text",
  clumps:
    "This answer arrives in clumps. A proxy between this page and its server may be holding it back: its operator " +
    "can let it through with the header “X-Accel-Buffering: no”, or in nginx with “proxy_buffering off”.",
};

/** The names of the composer's parts, and what is around it. */
export const writing = {
  cancelEdit: "Cancel",
  close: "Close",
  dismiss: "Dismiss",
  drop: "Drop text files to add them to your message",
  editing: "Editing your last message: sending replaces its answer.",
  keys: "Keys",
  outbox: "Waiting messages",
  sendNow: "Send now",
  withdraw: "Take back",
  withdrawThis: (/** @type {string} */ beginning) => `Take back: ${beginning}`,
};

/** What the keys do. */
export const keys = {
  send: "Send the message",
  newLine: "Start a new line",
  edit: "Edit the last message, when the composer is empty",
  stop: "Stop the answer, or close what is open",
  newChat: "Begin a new chat",
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
  const messages = count === 1 ? "1 message" : `${count} messages`;
  return held ? `Held back: ${messages}` : `Waiting: ${messages}`;
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
  const characters = (/** @type {number} */ count) => `${count.toLocaleString("en")} characters`;
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
 * @param {string} _code
 * @param {string} message
 */
export function problem(_code, message) {
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
  switch (answer.phase) {
    case "sending":
      return answer.id === "" ? "Sending…" : "Waiting for the first word…";
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

/**
 * What is to be known about an ended answer's speed and length: names and values.
 *
 * @param {Answer} answer
 * @returns {[string, string][]}
 */
export function figures({ figures: { firstTokenMs, writingMs, tokens, interrupted, usage }, thinkingMs }) {
  /** @param {number} value @param {number} digits */
  const number = (value, digits) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const count = Math.max(tokens, usage?.completion ?? 0);
  /** @type {[string, string][]} */
  const rows = [];
  if (firstTokenMs !== null) rows.push(["First token after", `${number(firstTokenMs / 1000, 2)} s`]);
  if (interrupted) rows.push(["Speed", "not known, the connection was interrupted"]);
  else if (writingMs > 0) rows.push(["Speed", `${number((1000 * (count - 1)) / writingMs, 1)} tokens/s`]);
  rows.push(["Length", `${number(count, 0)} ${count === 1 ? "token" : "tokens"}`]);
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
      const message = problem(end.code, end.message);
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
