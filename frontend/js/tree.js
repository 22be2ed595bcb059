/**
 * The messages of one conversation, as a tree: an answer's parent is its question, a question's the answer before it, and
 * siblings are other ways to go on. What is shown and sent is one path, from a root to a message.
 */

/** @typedef {import("./store.js").Message} Message */

export class Tree {
  /** @type {Map<string, Message>} */
  #messages = new Map();
  /** The children of each message, the oldest first; of `null` the roots. @type {Map<string | null, Message[]>} */
  #children = new Map();

  /** @param {Iterable<Message>} messages parents before their children, siblings the oldest first */
  constructor(messages = []) {
    for (const message of messages) this.add(message);
  }

  /** @returns {IterableIterator<Message>} */
  get messages() {
    return this.#messages.values();
  }

  /** @param {string | null} id */
  get(id) {
    return id === null ? undefined : this.#messages.get(id);
  }

  /**
   * Add a message, or put it in the place of the one with its id.
   *
   * @param {Message} message
   */
  add(message) {
    const siblings = this.#childrenOf(message.parent);
    const at = siblings.findIndex(({ id }) => id === message.id);
    if (at < 0) siblings.push(message);
    else siblings[at] = message;
    this.#messages.set(message.id, message);
  }

  /**
   * The messages from the root to this one.
   *
   * @param {string | null} id
   */
  path(id) {
    /** @type {Message[]} */
    const path = [];
    const seen = new Set();
    for (let message = this.get(id); message && !seen.has(message.id); message = this.get(message.parent)) {
      path.push(message);
      seen.add(message.id);
    }
    return path.reverse();
  }

  /**
   * The ways to go on beside this message, itself included, the oldest first.
   *
   * @param {Message} message
   */
  siblings(message) {
    return this.#childrenOf(message.parent);
  }

  /**
   * The end of the path that was gone on with last, from this message on; from null: of all.
   *
   * @param {string | null} id
   * @returns {string | null}
   */
  newestEnd(id) {
    for (;;) {
      const next = this.#childrenOf(id).at(-1);
      if (!next) return id;
      id = next.id;
    }
  }

  /**
   * Whether a message is before another one on its path, or is that one.
   *
   * @param {string | null} id null is before all
   * @param {string | null} other
   */
  leadsTo(id, other) {
    return id === null || this.path(other).some((message) => message.id === id);
  }

  /** @param {string | null} parent */
  #childrenOf(parent) {
    let children = this.#children.get(parent);
    if (!children) this.#children.set(parent, (children = []));
    return children;
  }
}
