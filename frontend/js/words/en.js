/** Everything that the page says, in English. Another language is a module with the same exports. */

/**
 * @typedef {import("../chat.js").Answer} Answer
 * @typedef {import("../sse.js").Connection} Connection
 */

export const language = "en";
export const direction = "ltr";

/** What index.html says, by its `data-words`. The page itself holds the English ones, to be read before any module is in. */
export const page = {};

/** The names of the Markdown renderer's buttons. */
export const markdown = {
  copy: "Copy",
  copied: "Copied",
  copyTable: "Copy table",
  wrap: "Wrap lines",
  code: "Code",
  image: "Image",
  footnotes: "Footnotes",
  backToText: "Back to the text",
};

const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
/** @type {Record<string, string>} */
const SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };

/**
 * What the reader waits for, or "" while text arrives.
 *
 * @param {Answer} answer
 * @param {Connection} connection
 */
export function waiting(answer, connection) {
  if (connection === "offline") return "You are offline. This goes on as soon as the connection is back.";
  if (connection === "reconnecting") return "Connection lost. Reconnecting…";
  switch (answer.phase) {
    case "sending":
      return "Sending…";
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

/** @param {Answer} answer */
export function thinkingSummary(answer) {
  if (answer.thinkingMs === null) return "Thinking…";
  return `Thought for ${Math.max(1, Math.round(answer.thinkingMs / 1000))} s`;
}

/**
 * What is to be said about an ended answer: nothing when it ended well.
 *
 * @param {Answer} answer
 * @returns {{text: string, code: string, error: boolean} | null}
 */
export function ending({ end, content }) {
  switch (end?.kind) {
    case "length":
      return { text: "The answer reached its length limit and ends here.", code: "", error: false };
    case "stopped":
      return { text: "Stopped", code: "", error: false };
    case "cut": {
      const kept = content === "" ? "" : " What had arrived is kept.";
      return { text: `This answer was cut off, and its rest is no longer there.${kept}`, code: "", error: true };
    }
    case "unreachable":
      return { text: "The server cannot be reached. Your message is still here.", code: "", error: true };
    case "failed":
    case "refused":
      return { text: end.message, code: end.code, error: true };
    default:
      return null;
  }
}

/**
 * One short line for those who listen to the page.
 *
 * @param {Answer | null} last the last answer
 * @param {Connection} connection
 */
export function announcement(last, connection) {
  if (!last) return "";
  if (last.end) return last.end.kind === "stop" ? "The answer is complete." : (ending(last)?.text ?? "");
  return waiting(last, connection) || (last.phase === "thinking" ? "Thinking…" : "Answering…");
}
