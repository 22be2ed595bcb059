/**
 * Copies a message: as rich text, which editors of plain text get as Markdown, or as Markdown alone.
 */

import { copy } from "../clipboard.js";
import { words } from "../words/index.js";
import { element } from "./element.js";

/** How long a button says what it did. */
const SAID_MS = 2500;

export class CopyButtons {
  #source;
  #say;
  #content;
  #failure = element("span", { className: "copy-failure", hidden: true });

  /**
   * @param {HTMLElement} source where the message stands; it is selected when copying fails
   * @param {(text: string) => void} say tells those who listen to the page
   * @param {() => {markdown: string, html?: string}} content asked for at each copy; without `html`, there is one button
   */
  constructor(source, say, content) {
    this.#source = source;
    this.#say = say;
    this.#content = content;
    this.root = element("div", { className: "copy-buttons" });
    this.root.append(this.#button(words.reading.copy, true));
    if (content().html !== undefined) this.root.append(this.#button(words.reading.copyMarkdown, false));
    this.root.append(this.#failure);
  }

  /**
   * @param {string} name
   * @param {boolean} rich
   */
  #button(name, rich) {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", async () => {
      const { markdown, html } = this.#content();
      const copied = await copy(markdown, rich ? html : undefined);
      this.#report(copied);
      if (!copied) return;
      button.textContent = words.reading.copied;
      setTimeout(() => (button.textContent = name), SAID_MS);
    });
    return button;
  }

  /** @param {boolean} copied */
  #report(copied) {
    const { reading } = words;
    this.#say(copied ? reading.copied : reading.copyFailed);
    this.#failure.textContent = copied ? "" : reading.copyFailed;
    this.#failure.hidden = copied;
    if (!copied) getSelection()?.selectAllChildren(this.#source);
  }
}
