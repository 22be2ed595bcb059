/**
 * A text that grows, shown as Markdown: only what is new of it is handed to the renderer.
 *
 * The renderer is larger than all the rest of the page, and a page without an answer does not need it: it is loaded as
 * soon as the reader begins to write. Should it not arrive, the text is shown as it is written.
 */

import { words } from "../words/index.js";
import { element } from "./element.js";

/** When to try again to load what did not arrive. */
const AGAIN_MS = 2000;

/** @typedef {typeof import("../markdown/index.js").createRenderer} CreateRenderer */

/** @type {CreateRenderer | null} */
let createRenderer = null;
/** @type {Promise<void> | null} */
let loading = null;

/** Load the renderer, if that has not begun yet. */
export function loadRenderer() {
  loading ??= import("../markdown/index.js").then(
    (module) => {
      createRenderer = module.createRenderer;
    },
    () => {
      setTimeout(() => (loading = null), AGAIN_MS);
    },
  );
  return loading;
}

export class StreamedMarkdown {
  /** Made for the first text, so that without one the element is empty. @type {ReturnType<CreateRenderer> | null} */
  #renderer = null;
  #written = 0;
  /** What is to be drawn as soon as that is possible. @type {{text: string, isFinal: boolean} | null} */
  #waiting = null;

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
    if (!createRenderer) {
      if (!this.#waiting) loadRenderer().then(() => this.#drawWaiting());
      this.#waiting = { text, isFinal };
      return;
    }
    if (this.#written < text.length) {
      this.#renderer ??= this.#begin(createRenderer);
      this.#renderer.write(text.slice(this.#written));
      this.#written = text.length;
    }
    if (isFinal) this.#renderer?.end();
  }

  /** @param {CreateRenderer} create */
  #begin(create) {
    this.root.classList.remove("unrendered");
    this.root.replaceChildren();
    return create(this.root, { words: words.markdown });
  }

  #drawWaiting() {
    const { text, isFinal } = this.#waiting ?? { text: "", isFinal: false };
    this.#waiting = null;
    if (createRenderer) return this.draw(text, isFinal);
    this.root.classList.add("unrendered");
    this.root.textContent = text;
  }
}
