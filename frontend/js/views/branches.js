/** Where there are several ways to go on: which one this is, "2 / 3", and buttons to walk among them. */

import { words } from "../words/index.js";
import { element, update } from "./element.js";

export class Branches {
  root = element("div", { className: "branches", hidden: true });
  #message;
  #chat;
  #walked;
  #count = element("span");
  #previous;
  #next;

  /**
   * @param {import("../store.js").Message} message
   * @param {import("../chat.js").Chat} chat
   * @param {(id: string, button: "previous" | "next") => void} walked called with the message that is shown instead
   */
  constructor(message, chat, walked) {
    this.#message = message;
    this.#chat = chat;
    this.#walked = walked;
    this.#previous = this.#button("previous", "‹", words.reading.previousBranch);
    this.#next = this.#button("next", "›", words.reading.nextBranch);
    this.root.role = "group";
    this.root.append(this.#previous, this.#count, this.#next);
  }

  draw() {
    const siblings = this.#siblings;
    const at = siblings.indexOf(this.#message);
    update(this.root, { hidden: siblings.length < 2, ariaLabel: words.reading.branches });
    update(this.#count, { textContent: words.branch(at + 1, siblings.length) });
    update(this.#previous, { disabled: at <= 0 });
    update(this.#next, { disabled: at === siblings.length - 1 });
  }

  get #siblings() {
    return this.#chat.tree.siblings(this.#message);
  }

  /**
   * @param {"previous" | "next"} className
   * @param {string} sign
   * @param {string} name
   */
  #button(className, sign, name) {
    const onclick = () => this.#walk(className);
    return element("button", { type: "button", className, ariaLabel: name, title: name, onclick }, sign);
  }

  /** @param {"previous" | "next"} button */
  #walk(button) {
    const siblings = this.#siblings;
    const to = siblings[siblings.indexOf(this.#message) + (button === "next" ? 1 : -1)];
    if (!to) return;
    this.#chat.walkTo(to.id);
    this.#walked(to.id, button);
  }
}
