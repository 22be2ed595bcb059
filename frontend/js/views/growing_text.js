/**
 * Shows a text that only grows.
 *
 * Every line is an element of its own and holds one text node, which is appended to: a long answer costs as much at its
 * end as at its beginning, and a selection stays.
 */

import { element } from "./element.js";

export class GrowingText {
  #parent;
  #drawn = 0;
  /** The open line. @type {Text | null} */
  #line = null;

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  /** @param {string} text what was drawn before, and more */
  draw(text) {
    while (this.#drawn < text.length) {
      const newline = text.indexOf("\n", this.#drawn);
      const end = newline < 0 ? text.length : newline + 1;
      if (!this.#line) {
        this.#line = new Text();
        this.#parent.append(element("span", { className: "line" }, this.#line));
      }
      this.#line.appendData(text.slice(this.#drawn, end));
      if (newline >= 0) this.#line = null;
      this.#drawn = end;
    }
  }
}
