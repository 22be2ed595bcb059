/**
 * A text that grows, shown as Markdown: only what is new of it is handed to the renderer.
 *
 * The renderer is larger than all the rest of the page, and a page without an answer does not need it: it is loaded as
 * soon as the reader begins to write. Until it is there, the text is shown as it is written.
 */

import { lazily, loadStyles } from "../lazy.js";
import { words } from "../words/index.js";
import { element } from "./element.js";

/** @typedef {typeof import("../markdown/index.js").createRenderer} CreateRenderer */

/** @type {CreateRenderer | null} */
let createRenderer = null;

/** Load the renderer, if that has not begun yet, until it is there. */
export const loadRenderer = lazily(
  () => Promise.all([import("../markdown/index.js"), loadStyles("markdown.css")]),
  ([renderer]) => void ({ createRenderer } = renderer),
);

export class StreamedMarkdown {
  /** Made for the first text, so that without one the element is empty. @type {ReturnType<CreateRenderer> | null} */
  #renderer = null;
  #written = 0;
  /** The text as it is written, until there is a renderer. @type {Text | null} */
  #plain = null;
  #isFinal = false;

  /** @param {string} className */
  constructor(className) {
    this.root = element("div", { className });
  }

  /**
   * @param {string} text what was drawn before, and more
   * @param {boolean} isFinal whether no more can come
   */
  draw(text, isFinal) {
    if (text === "") return;
    this.#isFinal = isFinal;
    if (!createRenderer) return this.#drawPlain(text);
    if (this.#written < text.length) {
      this.#renderer ??= createRenderer(this.root, { words: words.markdown });
      this.#renderer.write(text.slice(this.#written));
      this.#written = text.length;
    }
    if (isFinal) this.#renderer?.end();
  }

  /** @param {string} text */
  #drawPlain(text) {
    this.#plain ??= this.#beginPlain();
    this.#plain.appendData(text.slice(this.#plain.length));
  }

  #beginPlain() {
    const plain = new Text();
    this.root.classList.add("unrendered");
    this.root.append(plain);
    loadRenderer().then(() => {
      plain.remove();
      this.root.classList.remove("unrendered");
      this.draw(plain.data, this.#isFinal);
    });
    return plain;
  }
}
