/** Says once that tokens arrive in clumps, and what helps. */

import { words } from "../words/index.js";
import { element } from "./element.js";

export class ClumpsNotice {
  #root;
  #chat;
  #after;
  #isSaid = false;

  /**
   * @param {HTMLElement} root empty and hidden
   * @param {import("../chat.js").Chat} chat
   * @param {import("./conversation.js").After} after
   */
  constructor(root, chat, after) {
    this.#root = root;
    this.#chat = chat;
    this.#after = after;
  }

  draw() {
    if (!this.#chat.pace.clumpy || this.#isSaid) return;
    this.#isSaid = true;
    const close = element("button", { type: "button", onclick: () => this.#dismiss() });
    close.textContent = words.writing.dismiss;
    this.#root.append(element("p", {}, words.reading.clumps), close);
    this.#root.hidden = false;
    this.#after.say(words.reading.clumps);
  }

  #dismiss() {
    this.#root.hidden = true;
    this.#after.left();
  }
}
