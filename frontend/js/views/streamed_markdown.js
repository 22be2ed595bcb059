/** A text that grows, shown as Markdown: only what is new of it is handed to the renderer. */

import { createRenderer } from "../markdown/index.js";
import { words } from "../words/index.js";
import { element } from "./element.js";

export class StreamedMarkdown {
  /** Made for the first text, so that without one the element is empty. @type {ReturnType<typeof createRenderer> | null} */
  #renderer = null;
  #written = 0;

  /** @param {string} className */
  constructor(className) {
    this.root = element("div", { className });
  }

  /**
   * @param {string} text what was drawn before, and more
   * @param {boolean} isFinal whether no more can come
   */
  draw(text, isFinal) {
    if (this.#written < text.length) {
      this.#renderer ??= createRenderer(this.root, { words: words.markdown });
      this.#renderer.write(text.slice(this.#written));
      this.#written = text.length;
    }
    if (isFinal) this.#renderer?.end();
  }
}
