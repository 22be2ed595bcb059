/**
 * What all parts of one rendered text share: its link reference definitions, its footnotes, its words.
 */

import { Footnotes } from "./footnotes.js";

/**
 * @typedef {import("./references.js").Definition} Definition
 * @typedef {import("./inline_view.js").InlineView} InlineView
 *
 * @typedef {object} Words
 * @property {string} copy
 * @property {string} copied
 * @property {string} copyTable
 * @property {string} wrap
 * @property {string} task what a checkbox in a list is called
 * @property {string} footnotes
 * @property {string} backToText
 */

export class RenderContext {
  /** @type {Map<string, Definition>} */
  #definitions = new Map();
  /** Which leaves hold a label that is not defined yet. @type {Map<string, Set<InlineView>>} */
  #waiting = new Map();
  /** Set at the end of the text: what is not defined by now never will be. */
  #ended = false;
  isInsideLink = false;

  /**
   * @param {Element} root
   * @param {{words: Words, autolinks: boolean}} options
   */
  constructor(root, { words, autolinks }) {
    this.words = words;
    this.autolinks = autolinks;
    this.footnotes = new Footnotes(root, words);
    /** The same, for what stands in a link. @type {RenderContext} */
    this.insideLink = Object.assign(Object.create(this), { isInsideLink: true });
  }

  /**
   * Define a label, in normal form; the first definition wins. The leaves that wait for it are drawn again.
   *
   * @param {string} label
   * @param {Definition} definition
   */
  define(label, definition) {
    if (this.#definitions.has(label)) return;
    this.#definitions.set(label, definition);
    this.#redraw(label);
  }

  /** @param {string} label */
  defineFootnote(label) {
    if (this.footnotes.define(label)) this.#redraw(`^${label}`);
  }

  /** No more definitions come: a reference to a footnote that is not there is text. */
  end() {
    this.#ended = true;
    for (const label of [...this.#waiting.keys()].filter((key) => key.startsWith("^"))) this.#redraw(label);
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
  #redraw(label) {
    const views = this.#waiting.get(label) ?? [];
    this.#waiting.delete(label);
    for (const view of views) view.redraw();
  }
}
