/**
 * What all parts of one rendered text share: its link reference definitions, its footnotes, its words.
 */

import { Footnotes } from "./footnotes.js";

/**
 * @typedef {import("./references.js").Definition} Definition
 * @typedef {import("./inline_view.js").InlineView} InlineView
 * @typedef {import("./words.js").Words} Words
 */

export class RenderContext {
  /** @type {Map<string, Definition>} */
  #definitions = new Map();
  /** Which leaves hold a label that is not defined yet. @type {Map<string, Set<InlineView>>} */
  #waiting = new Map();
  /** Which leaves hold a label that was defined after they were drawn. @type {Set<InlineView>} */
  #stale = new Set();
  /** How many characters were written so far. */
  written = 0;
  /** Set at the end of the text: what is not defined by now never will be. */
  #ended = false;
  isInsideLink = false;

  /**
   * @param {Element} root
   * @param {{words: Words, autolinks: boolean}} options
   */
  constructor(root, { words, autolinks }) {
    this.root = root;
    this.words = words;
    this.autolinks = autolinks;
    this.footnotes = new Footnotes(root, words);
    /** The same, for what stands in a link. @type {RenderContext} */
    this.insideLink = Object.assign(Object.create(this), { isInsideLink: true });
  }

  /**
   * Define a label, in normal form; the first definition wins. The leaves that wait for it are to be drawn again.
   *
   * @param {string} label
   * @param {Definition} definition
   */
  define(label, definition) {
    if (this.#definitions.has(label)) return;
    this.#definitions.set(label, definition);
    this.#outdate(label);
  }

  /** @param {string} label */
  defineFootnote(label) {
    if (this.footnotes.define(label)) this.#outdate(`^${label}`);
  }

  /**
   * Call after drawing: draws again what waited for the new definitions. However many there were, a leaf is drawn once;
   * and a long one not before so much was written that reading all of it again costs little beside that.
   */
  settle() {
    for (const view of this.#stale) {
      if (view.redraw(this.written)) this.#stale.delete(view);
    }
    this.footnotes.draw(this.written);
  }

  /** No more definitions come: a reference to a footnote that is not there is text. */
  end() {
    this.#ended = true;
    for (const label of [...this.#waiting.keys()].filter((key) => key.startsWith("^"))) this.#outdate(label);
    this.written = Infinity;
    this.settle();
    this.#waiting.clear();
  }

  /**
   * What reading the inside of a leaf depends on.
   *
   * @param {InlineView} view
   * @returns {import("./inlines.js").Context}
   */
  inline(view) {
    return {
      autolinks: this.autolinks,
      definition: (label) => {
        const found = this.#definitions.get(label) ?? null;
        if (!found) this.#waitFor(label, view);
        return found;
      },
      isFootnote: (label) => {
        if (this.footnotes.isDefined(label)) return true;
        this.#waitFor(`^${label}`, view);
        return !this.#ended;
      },
    };
  }

  /**
   * @param {string} label
   * @param {InlineView} view
   */
  #waitFor(label, view) {
    const views = this.#waiting.get(label);
    if (views) views.add(view);
    else this.#waiting.set(label, new Set([view]));
  }

  /** @param {string} label */
  #outdate(label) {
    for (const view of this.#waiting.get(label) ?? []) this.#stale.add(view);
    this.#waiting.delete(label);
  }
}
