/**
 * The models that the server serves, and what each takes.
 *
 * What depends on a model's class a server knows only once it has loaded it. Until then, and where a server does not tell,
 * a model is taken to take everything.
 */

import { admission } from "./api.js";
import { backoff, pause } from "./retry.js";

/** How many characters a server takes by default (BURBLE_MAX_PROMPT_CHARS). */
const MAX_CHARS = 100_000;

/** How long the list is waited for, in ms: what is asked of a model may wait for it. */
const PATIENCE_MS = 5000;

/** When to ask again for what was not told, in ms. */
const TIMES = { base: 2000, cap: 60_000 };

/**
 * @typedef {object} Model
 * @property {string} id what it is asked by; "" where that is not known
 * @property {string} name for people
 * @property {readonly string[] | null} takes the names of the sampling settings that it takes; null, until it is loaded, for all
 * @property {boolean} thinking whether it can think first
 * @property {boolean} system whether it takes a system prompt
 * @property {number} maxChars of all messages together, in characters (code points)
 * @property {number | null} contextTokens of the prompt and the answer together, where that is known
 */

/** @type {Model} */
const UNKNOWN = { id: "", name: "", takes: null, thinking: true, system: true, maxChars: MAX_CHARS, contextTokens: null };

export class Models {
  /** The server's own choice comes first. Empty where the server does not tell. @type {readonly Model[]} */
  list = [];

  #url;
  /** Whether the server has told, and whether it has told all. */
  #isKnown = false;
  #isWhole = false;
  /** When the server was asked that has refused to tell, for it wants a key; in ms since the epoch. */
  #refusedAt = 0;
  /** @type {Promise<void> | null} */
  #loading = null;
  #changed = () => {};

  /** @param {string | URL} url */
  constructor(url) {
    this.#url = url;
  }

  /** Learn the list, if it is not all known yet. Resolves within some seconds, known or not. */
  async load() {
    if (this.#isWhole) return;
    this.#loading ??= this.#ask().finally(() => (this.#loading = null));
    await this.#loading;
  }

  /**
   * Ask until all is known.
   *
   * @param {() => void} changed called whenever the server has told something, then and later
   */
  async follow(changed) {
    this.#changed = changed;
    for (let failures = 0; !this.#isWhole; failures += 1) {
      await this.load();
      if (this.#refusedAt > 0) await admission({ askedAt: this.#refusedAt });
      else if (!this.#isWhole) await pause(backoff(failures, TIMES));
    }
  }

  /** The server seems to serve others by now: ask it anew. */
  async reload() {
    // What is being told may be old already.
    await this.#loading;
    this.#isWhole = false;
    await this.load();
  }

  /**
   * The model that is asked by this id: the server's own choice for null, and for one that it does not serve.
   *
   * @param {string | null} id
   * @returns {Model}
   */
  named(id) {
    return this.list.find((model) => model.id === id) ?? this.list[0] ?? UNKNOWN;
  }

  /**
   * What people call the model with this id, which need not be served.
   *
   * @param {string} id
   */
  nameOf(id) {
    return this.list.find((model) => model.id === id)?.name ?? plainName(id);
  }

  /**
   * The id to ask by: null, for the server's own choice, where the server does not serve that model.
   *
   * @param {string | null} id
   */
  served(id) {
    return this.#isKnown && !this.list.some((model) => model.id === id) ? null : id;
  }

  async #ask() {
    const askedAt = Date.now();
    this.#refusedAt = 0;
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (response.status === 401) this.#refusedAt = askedAt;
      // An older server has no such list.
      if (!response.ok && response.status !== 404) return;
      this.list = response.ok ? (await response.json()).models.map(read) : [];
      this.#isKnown = true;
      this.#isWhole = this.list.every(({ takes }) => takes !== null);
      this.#changed();
    } catch (error) {
      // No connection, a time that ran out, or somebody else's answer: another time it may be there.
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof DOMException) return;
      throw error;
    }
  }
}

/**
 * A name without what turns the direction of the text around it.
 *
 * @param {string} name
 */
export function plainName(name) {
  return name.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
}

/** @param {any} model as the server describes it */
function read({ id, name, takes, thinking, system, max_prompt_chars: maxChars, context_tokens: contextTokens }) {
  return { id, name: plainName(name || id), takes, thinking: thinking ?? true, system: system ?? true, maxChars, contextTokens };
}

export const models = new Models(new URL("../models", import.meta.url));
