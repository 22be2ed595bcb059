/**
 * Finds words in the titles and texts of all conversations, as fast as one types.
 *
 * All texts are in memory, folded (see `folding.js`): to look through some 27 million characters so takes a browser a few
 * milliseconds, less than a database takes to answer. That costs a byte a character, two where a conversation has any that
 * is not Latin (some 55 MB for those 27 million), and nothing before the reader wants to search: `load`. The texts
 * themselves are read again for what is shown of them.
 *
 * What changes later, in this tab or another, is only noted, and read again before the next search.
 */

import { fold, originOf, placesOf, wordsOf } from "./folding.js";

/**
 * @typedef {import("./store.js").Conversation} Conversation
 * @typedef {import("./store.js").Message} Message
 * @typedef {import("./store.js").Store} Store
 *
 * A conversation, and where it has the words. They are all in its title (`message` is null), or all in the title and the
 * messages together; then this is the first of those messages that have most of them.
 *
 * @typedef {object} Hit
 * @property {string} conversation
 * @property {string} title
 * @property {number} updatedAt ms since the epoch
 * @property {string | null} message
 * @property {string} excerpt of the message's text, "" for a hit in the title
 * @property {[start: number, end: number][]} places of words in `excerpt`, or else in `title`
 * @property {number} others how many messages more have as many of the words
 *
 * @typedef {object} Found
 * @property {string[]} words what was searched for, folded
 * @property {Hit[]} hits those in titles first, then the newest first
 * @property {number | null} total of conversations that have the words; null while they are counted
 * @property {boolean} isWhole whether all conversations are looked through, not only those that were loaded by now
 *
 * @typedef {object} Entry
 * @property {Conversation} conversation
 * @property {string} title folded
 * @property {string} text of all messages, folded, a line each
 * @property {{id: string, createdAt: number}[]} messages the oldest first
 */

/** How long the page waits for this at a time, in ms. */
const SLICE_MS = 16;

/** So many conversations that have changed are read again faster all together. */
const MANY = 300;

/** An excerpt in UTF-16 code units: what is before the word, how much there is in all. */
const BEFORE = 40;
const LENGTH = 180;

export class SearchIndex {
  #store;
  #changed;
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** The same, the newest first, until one of them changes. @type {Entry[] | null} */
  #ordered = null;
  /** What the last search found, in which one with more letters looks on, until something changes. @type {{words: string[], entries: Entry[]} | null} */
  #last = null;
  /** @type {Promise<void> | null} */
  #loading = null;
  #isLoaded = false;
  /** The conversations that have changed, each with its messages that have; null stands for all of them. @type {Map<string, Set<string> | null>} */
  #stale = new Map();
  /** @type {Promise<void> | null} */
  #refreshing = null;

  /**
   * @param {Store} store
   * @param {() => void} [changed] called when a search might find something else than before
   */
  constructor(store, changed = () => {}) {
    this.#store = store;
    this.#changed = changed;
    store.onChange((change) => this.#note(change));
  }

  /** Load what there is, if that has not begun. Until it is done, `search` finds what is loaded. */
  load() {
    return (this.#loading ??= this.#load());
  }

  /**
   * Find the conversations that have all words of a query; see `wordsOf`. Yields the first hits as soon as there are
   * enough of them, and in the end the hits with their number.
   *
   * @param {string} query
   * @param {object} [options]
   * @param {number} [options.most] how many hits to yield
   * @param {AbortSignal} [options.signal] its reason is thrown once the search is not wanted any more
   * @returns {AsyncGenerator<Found>}
   */
  async *search(query, { most = 50, signal } = {}) {
    this.load();
    await this.#refresh();
    signal?.throwIfAborted();
    const words = wordsOf(query);
    const isWhole = this.#isLoaded;
    const candidates = this.#candidates(words);
    const ordered = this.#ordered;
    const inTitle = new Set(candidates.filter((entry) => isInTitle(entry, words)));
    const found = [...inTitle];
    const slice = new Slice(signal);
    /** @type {Hit[] | null} */
    let hits = null;
    for (const entry of candidates) {
      if (slice.isOver) await slice.next();
      if (!inTitle.has(entry) && isIn(entry, words)) found.push(entry);
      if (hits || found.length < most) continue;
      hits = await this.#show(found.slice(0, most), words);
      signal?.throwIfAborted();
      yield { words, hits, total: null, isWhole };
      signal?.throwIfAborted();
    }
    if (isWhole && words.length > 0 && ordered === this.#ordered) this.#last = { words, entries: found };
    hits ??= await this.#show(found, words);
    signal?.throwIfAborted();
    yield { words, hits, total: found.length, isWhole };
  }

  async #load() {
    for (const conversation of await this.#store.conversations()) this.#take(conversation);
    const slice = new Slice();
    for await (const messages of this.#store.allMessages()) {
      for (const together of byConversation(messages)) {
        this.#put(together);
        if (slice.isOver) await slice.next();
      }
      this.#changed();
    }
    this.#isLoaded = true;
    this.#changed();
  }

  /** @param {import("./store.js").Change} change */
  #note({ conversations, messages }) {
    if (!this.#loading || conversations.length + messages.length === 0) return;
    for (const [conversation, message] of messages) {
      const stale = this.#stale.get(conversation);
      if (stale) stale.add(message);
      else if (stale === undefined) this.#stale.set(conversation, new Set([message]));
    }
    // Where no messages are told there may be others, and it may be gone.
    const told = new Set(messages.map(([conversation]) => conversation));
    for (const conversation of conversations) if (!told.has(conversation)) this.#stale.set(conversation, null);
    this.#changed();
  }

  async #refresh() {
    await this.#refreshing;
    // What is being loaded may be older than what would be read now.
    if (!this.#isLoaded || this.#stale.size === 0) return;
    await (this.#refreshing ??= this.#readAgain().finally(() => (this.#refreshing = null)));
  }

  async #readAgain() {
    const stale = this.#stale;
    this.#stale = new Map();
    if (stale.size > MANY) {
      this.#forget();
      this.#entries.clear();
      this.#isLoaded = false;
      this.#loading = this.#load();
      return;
    }
    for (const [id, ids] of stale) {
      const conversation = await this.#store.conversation(id);
      const keys = [...(ids ?? [])].map((message) => /** @type {[string, string]} */ ([id, message]));
      const messages = await (ids ? this.#store.messagesAt(keys) : this.#store.messages(id));
      if (conversation) {
        this.#take(conversation);
        this.#put(messages.filter((message) => message !== undefined));
      } else {
        this.#forget();
        this.#entries.delete(id);
      }
    }
  }

  /** @param {Conversation} conversation */
  #take(conversation) {
    this.#forget();
    const { text = "", messages = [] } = this.#entries.get(conversation.id) ?? {};
    this.#entries.set(conversation.id, { conversation, title: fold(conversation.title), text, messages });
  }

  /** @param {Message[]} messages of one conversation, new ones and such as are there in an older form */
  #put(messages) {
    const entry = this.#entries.get(messages[0]?.conversation ?? "");
    // Of a conversation that is not here a change tells.
    if (!entry) return;
    this.#forget();
    const texts = new Map(textsOf(entry).map((text, index) => [entry.messages[index], text]));
    for (const { id, createdAt, content } of messages) {
      const known = entry.messages.find((message) => message.id === id);
      texts.set(known ?? { id, createdAt }, fold(content));
    }
    const sorted = [...texts].sort(([a], [b]) => (a?.createdAt ?? 0) - (b?.createdAt ?? 0));
    entry.messages = sorted.flatMap(([message]) => message ?? []);
    entry.text = sorted.map(([, text]) => text).join("\n");
  }

  /** What was found may be no more what would be found. */
  #forget() {
    this.#ordered = null;
    this.#last = null;
  }

  /**
   * Those that may have the words, the newest first.
   *
   * @param {string[]} words
   */
  #candidates(words) {
    this.#ordered ??= newestFirst([...this.#entries.values()].filter(({ conversation }) => conversation.deletedAt === null));
    if (words.length === 0) return [];
    const last = this.#last;
    // All that have the longer words have the shorter ones.
    const narrows = last?.words.every((word) => words.some((longer) => longer.includes(word)));
    return narrows && last ? newestFirst([...last.entries]) : this.#ordered;
  }

  /**
   * @param {Entry[]} entries
   * @param {string[]} words
   * @returns {Promise<Hit[]>}
   */
  async #show(entries, words) {
    const places = entries.map((entry) => placeIn(entry, words));
    const keys = places.flatMap(({ message }, index) => {
      const id = entries[index]?.conversation.id ?? "";
      return message === null ? [] : [/** @type {[string, string]} */ ([id, message])];
    });
    const messages = new Map((await this.#store.messagesAt(keys)).map((message) => [message?.id, message]));
    return places.map(({ entry, message, folded, others }) => {
      const { id, title, updatedAt } = entry.conversation;
      const shown =
        message === null
          ? { excerpt: "", places: placesOf(title, words) }
          : excerptOf(messages.get(message)?.content ?? "", words, folded);
      return { conversation: id, title, updatedAt, message, others, ...shown };
    });
  }
}

/** A part of a long work, after which the page does what else there is to do. */
class Slice {
  #end = performance.now() + SLICE_MS;
  #signal;

  /** @param {AbortSignal} [signal] */
  constructor(signal) {
    this.#signal = signal;
  }

  get isOver() {
    return performance.now() > this.#end;
  }

  async next() {
    await new Promise((resolve) => setTimeout(resolve));
    this.#signal?.throwIfAborted();
    this.#end = performance.now() + SLICE_MS;
  }
}

/**
 * @param {Message[]} messages those of one conversation together
 * @returns {Message[][]}
 */
function byConversation(messages) {
  /** @type {Map<string, Message[]>} */
  const conversations = new Map();
  for (const message of messages) {
    const together = conversations.get(message.conversation);
    if (together) together.push(message);
    else conversations.set(message.conversation, [message]);
  }
  return [...conversations.values()];
}

/** @param {Entry[]} entries */
function newestFirst(entries) {
  return entries.sort((a, b) => b.conversation.updatedAt - a.conversation.updatedAt);
}

/** @param {Entry} entry */
function textsOf({ text, messages }) {
  return messages.length === 0 ? [] : text.split("\n");
}

/**
 * @param {Entry} entry
 * @param {string[]} words
 */
function isIn({ title, text }, words) {
  return words.every((word) => text.includes(word) || title.includes(word));
}

/**
 * @param {Entry} entry
 * @param {string[]} words
 */
function isInTitle({ title }, words) {
  return words.every((word) => title.includes(word));
}

/**
 * In which message to show the words, null for the title, and how many others would do as well.
 *
 * @param {Entry} entry
 * @param {string[]} words
 */
function placeIn(entry, words) {
  const inTitle = isInTitle(entry, words);
  const texts = textsOf(entry);
  const counts = texts.map((text) => words.filter((word) => text.includes(word)).length);
  const most = inTitle ? words.length : counts.reduce((a, b) => Math.max(a, b), 0);
  const best = counts.indexOf(most);
  const others = counts.filter((count) => count === most).length - Number(!inTitle);
  return { entry, message: inTitle ? null : (entry.messages[best]?.id ?? null), folded: texts[best], others };
}

/**
 * The part of a text in which the words are, in one line and without the marks of emphasis and code.
 *
 * @param {string} text
 * @param {string[]} words folded
 * @param {string} [folded] the text, where that is at hand
 * @returns {{excerpt: string, places: [start: number, end: number][]}}
 */
export function excerptOf(text, words, folded = fold(text)) {
  const firsts = words.map((word) => folded.indexOf(word)).filter((at) => at >= 0);
  const near = (/** @type {number} */ at) => firsts.filter((other) => other >= at && other < at + LENGTH - 2 * BEFORE).length;
  const best = firsts.reduce((a, b) => (near(b) > near(a) || (near(b) === near(a) && b < a) ? b : a), firsts[0] ?? 0);
  const origin = originOf(text, best);
  const from = cut(text, origin - BEFORE, origin);
  const to = cut(text, from + LENGTH, from + LENGTH + BEFORE / 2);
  const inside = text
    .slice(from, to)
    .replace(/[*`]+/g, "")
    .replace(/\s+/g, " ")
    .trim();
  const excerpt = `${from > 0 ? "…" : ""}${inside}${to < text.length ? "…" : ""}`;
  return { excerpt, places: placesOf(excerpt, words) };
}

/**
 * Where to cut a text: before a word that begins between two places, or else at the first, but in no character.
 *
 * @param {string} text
 * @param {number} first
 * @param {number} last
 */
function cut(text, first, last) {
  if (first <= 0) return 0;
  if (last >= text.length) return text.length;
  const space = text.slice(first, last).search(/\s\S/);
  const at = space < 0 ? first : first + space + 1;
  return /[\udc00-\udfff]/.test(text.charAt(at)) ? at - 1 : at;
}
