/**
 * The models that the server serves, and what each takes.
 *
 * They are asked for once, when first wanted, and again after that failed or not all was known: what depends on a model's
 * class a server knows only once it has loaded it. Until then, and where a server does not tell, a model is taken to take
 * everything.
 */

/** How many characters a server takes by default (BURBLE_MAX_PROMPT_CHARS). */
const MAX_CHARS = 100_000;

/** How long the list is waited for, in ms: what is asked of a model may wait for it. */
const PATIENCE_MS = 5000;

/**
 * @typedef {object} Model
 * @property {string} id "" for one whose name is not known
 * @property {readonly string[] | null} takes the names of the sampling settings that it takes; null for all
 * @property {boolean} thinking whether it can think first
 * @property {boolean} system whether it takes a system prompt
 * @property {number} maxChars of all messages together, in characters (code points)
 * @property {number | null} contextTokens of the prompt and the answer together, where that is known
 */

/** @type {Model} */
const UNKNOWN = { id: "", takes: null, thinking: true, system: true, maxChars: MAX_CHARS, contextTokens: null };

export class Models {
  /** The server's own choice comes first. Empty where the server does not tell. @type {readonly Model[]} */
  list = [];

  #url;
  /** Whether the server has told, and whether it has told all. */
  #isKnown = false;
  #isWhole = false;
  /** @type {Promise<void> | null} */
  #loading = null;

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
   * The model that is asked by this name: the server's own choice for null, and for one that it does not serve.
   *
   * @param {string | null} id
   * @returns {Model}
   */
  named(id) {
    return this.list.find((model) => model.id === id) ?? this.list[0] ?? UNKNOWN;
  }

  /**
   * The name to ask by: null, for the server's own choice, where the server does not serve that model.
   *
   * @param {string | null} id
   */
  served(id) {
    return this.#isKnown && !this.list.some((model) => model.id === id) ? null : id;
  }

  async #ask() {
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (response.ok) this.list = (await response.json()).models.map(read);
      // An older server has no such list.
      else if (response.status !== 404) return;
      this.#isKnown = true;
      this.#isWhole = this.list.every(({ takes }) => takes !== null);
    } catch (error) {
      // No connection, a time that ran out, or somebody else's answer: another time it may be there.
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof DOMException) return;
      throw error;
    }
  }
}

/** @param {any} model as the server describes it */
function read({ id, takes, thinking, system, max_prompt_chars: maxChars, context_tokens: contextTokens }) {
  return { id, takes, thinking: thinking ?? true, system: system ?? true, maxChars, contextTokens };
}

export const models = new Models(new URL("../models", import.meta.url));
