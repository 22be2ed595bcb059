/**
 * What a model is sent: the messages of one path, as many of the newest as fit, and how it is to be asked.
 *
 * Pure: it reads what it is given and changes nothing.
 */

import { neverArrived } from "./answer.js";

/**
 * @typedef {import("./store.js").Message} Message
 * @typedef {import("./store.js").Settings} Settings
 *
 * @typedef {{role: "system" | "user" | "assistant", content: string}} PromptMessage
 *
 * How much a server and its model take.
 *
 * @typedef {object} Limits
 * @property {number} maxChars of all messages together, in characters as the server counts them, see `countChars`
 * @property {number | null} contextTokens of the prompt and the answer together; null where it is not known
 * @property {boolean} [system] whether the model takes a system prompt; it does where nothing is said
 */

/** What asks a model to go on with the answer before it; the reader does not see it. */
export const GO_ON =
  "Your last answer was cut off. Go on exactly where it stopped, in the same language and format: " +
  "repeat nothing, and say nothing about the interruption.";

/**
 * How tokens are estimated, where only the model could count them. English has some four characters a token, code and
 * names fewer (OpenAI, "What are tokens and how to count them?"); other scripts have up to one token for each, and what
 * takes two units of UTF-16, like emoji, up to two. A chat template adds three to five for each message (OpenAI's
 * cookbook, "How to count tokens with tiktoken"; Llama 3's headers). So this is more than it will be, mostly.
 */
const ASCII_CHARS_PER_TOKEN = 3;
const TOKENS_PER_MESSAGE = 6;

/** The part of the context that is left to an answer whose length nobody has limited, and the most that a limit takes. */
const ANSWER_SHARE = 1 / 4;
const MOST_ANSWER_SHARE = 1 / 2;

/**
 * Return what is sent: the system prompt, then the messages of a path that are no mere traces of a failure. When that is
 * more than fits, the oldest are left out, in whole turns: what comes first is a question. Always sent, fit or not, are
 * the system prompt and the last question with what is gone on with.
 *
 * @param {readonly Message[]} path from the root to the question, or to the answer to it: where that has text already,
 *   it is to be gone on with
 * @param {Pick<Settings, "system" | "maxTokens">} settings
 * @param {Limits} limits
 * @returns {{messages: PromptMessage[], leftOut: number}} `leftOut` counts the messages that did not fit
 */
export function makePrompt(path, settings, limits) {
  /** @type {PromptMessage[]} */
  const asked = path
    .filter(({ content }, index) => content !== "" && !neverArrived(path[index + 1]))
    .map(({ role, content }) => ({ role, content }));
  let first = asked.map(({ role }) => role).lastIndexOf("user");
  if (asked.at(-1)?.role === "assistant") asked.push({ role: "user", content: GO_ON });

  /** @type {PromptMessage[]} */
  const system = hasSystem(settings, limits) ? [{ role: "system", content: settings.system }] : [];
  const room = new Room(settings.maxTokens, limits);
  for (const message of [...system, ...asked.slice(first)]) room.take(message);
  for (const [index, message] of [...asked.slice(0, first).entries()].reverse()) {
    if (!room.take(message)) break;
    if (message.role === "user" || index === 0) first = index;
  }
  return { messages: [...system, ...asked.slice(first)], leftOut: first };
}

/**
 * Return how the model is asked, as the server takes it: without what is left to the model, and without what the model
 * does not take.
 *
 * @param {Settings} settings
 * @param {readonly string[] | null} takes the names of the sampling settings that the model takes; null for all
 */
export function requestSettings({ think, model, temperature, topP, maxTokens }, takes) {
  const taken = (/** @type {string} */ name, /** @type {number | null} */ value) =>
    value !== null && (takes?.includes(name) ?? true) ? { [name]: value } : {};
  return {
    thinking: think,
    ...taken("temperature", temperature),
    ...taken("top_p", topP),
    ...taken("max_tokens", maxTokens),
    ...(model === null ? {} : { model }),
  };
}

/**
 * Whether two settings ask a model the same way.
 *
 * @param {Settings} settings
 * @param {Settings} other
 */
export function sameSettings(settings, other) {
  const names = /** @type {(keyof Settings)[]} */ (Object.keys(other));
  return names.every((name) => settings[name] === other[name]);
}

/**
 * How many characters a message may have by itself, in this conversation.
 *
 * @param {Pick<Settings, "system">} settings
 * @param {Limits} limits
 */
export function mostChars(settings, limits) {
  return Math.max(0, limits.maxChars - (hasSystem(settings, limits) ? countChars(settings.system) : 0));
}

/**
 * Count characters as the server does, which is written in Python: code points, not units of UTF-16.
 *
 * @param {string} text
 */
export function countChars(text) {
  return text.length - count(text, /[\ud800-\udbff][\udc00-\udfff]/g);
}

/** What is left of the limits. */
class Room {
  #chars;
  #tokens;

  /**
   * @param {number | null} maxTokens
   * @param {Limits} limits
   */
  constructor(maxTokens, { maxChars, contextTokens }) {
    this.#chars = maxChars;
    const context = contextTokens ?? Infinity;
    const answer = Math.min(maxTokens ?? ANSWER_SHARE * context, MOST_ANSWER_SHARE * context);
    this.#tokens = contextTokens === null ? Infinity : context - answer;
  }

  /**
   * Take room for a message; return whether there was enough.
   *
   * @param {PromptMessage} message
   */
  take({ content }) {
    this.#chars -= countChars(content);
    this.#tokens -= estimateTokens(content);
    return this.#chars >= 0 && this.#tokens >= 0;
  }
}

/**
 * @param {Pick<Settings, "system">} settings
 * @param {Limits} limits
 */
function hasSystem({ system }, limits) {
  return system.trim() !== "" && limits.system !== false;
}

/** @param {string} text */
function estimateTokens(text) {
  const others = count(text, /[^\x00-\x7f]/g);
  return (text.length - others) / ASCII_CHARS_PER_TOKEN + others + TOKENS_PER_MESSAGE;
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function count(text, pattern) {
  return text.match(pattern)?.length ?? 0;
}
