/** Says once that tokens arrive in clumps, and what helps. */

import { words } from "../words/index.js";
import { element } from "./element.js";

export class ClumpsNotice {
  #root;
  #chat;
  #say;
  #isSaid = false;

  /**
   * @param {HTMLElement} root empty and hidden
   * @param {import("../chat.js").Chat} chat
   * @param {(text: string) => void} say tells those who listen to the page
   */
  constructor(root, chat, say) {
    this.#root = root;
    this.#chat = chat;
    this.#say = say;
  }

  draw() {
    if (!this.#chat.pace.clumpy || this.#isSaid) return;
    this.#isSaid = true;
    const close = element("button", { type: "button", onclick: () => (this.#root.hidden = true) });
    close.textContent = words.reading.dismiss;
    this.#root.append(element("p", {}, words.reading.clumps), close);
    this.#root.hidden = false;
    this.#say(words.reading.clumps);
  }
}
