/** The messages that wait for the end of an answer; each can be taken back. */

import { words } from "../words/index.js";
import { element, update } from "./element.js";

/**
 * @typedef {import("../chats.js").Chats} Chats
 * @typedef {import("../store.js").Waiting} Waiting
 */

export class OutboxView {
  root = element("section", { className: "outbox", hidden: true });
  #chats;
  #after;
  #title = element("p");
  #list = element("ol");
  #release;
  /** @type {Map<Waiting, HTMLElement>} */
  #items = new Map();

  /**
   * @param {Chats} chats
   * @param {object} after
   * @param {() => void} after.withdrawn called when the reader has taken a message back
   * @param {() => void} after.sent called when the reader has sent one
   * @param {() => void} after.left called when what had the focus went away
   */
  constructor(chats, after) {
    this.#chats = chats;
    this.#after = after;
    this.#release = element("button", { type: "button", onclick: () => this.#send() }, words.writing.sendNow);
    this.root.ariaLabel = words.writing.outbox;
    this.root.append(element("header", {}, this.#title, this.#release), this.#list);
  }

  get #chat() {
    return this.#chats.shown;
  }

  draw() {
    const { state, holdsBack } = this.#chat;
    const { outbox } = state;
    update(this.root, { hidden: outbox.length === 0 });
    update(this.#title, { textContent: outbox.length === 0 ? "" : words.outbox(outbox.length, holdsBack) });
    const focused = document.activeElement;
    update(this.#release, { hidden: !holdsBack });
    this.#drawItems(outbox);
    if (focused && (!focused.isConnected || this.root.contains(focused.closest("[hidden]")))) this.#after.left();
  }

  /** @param {Waiting[]} outbox */
  #drawItems(outbox) {
    for (const [message, item] of this.#items) {
      if (outbox.includes(message)) continue;
      item.remove();
      this.#items.delete(message);
    }
    for (const message of outbox) {
      if (this.#items.has(message)) continue;
      const item = this.#item(message);
      this.#items.set(message, item);
      this.#list.append(item);
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  /** @param {Waiting} message */
  #item(message) {
    const text = element("p", { dir: "auto" }, message.content);
    const button = element("button", { type: "button", onclick: () => this.#withdraw(message) }, words.writing.withdraw);
    button.ariaLabel = words.writing.withdrawThis(message.content.slice(0, 80));
    return element("li", {}, text, button);
  }

  /** @param {Waiting} message */
  #withdraw(message) {
    this.#chat.withdraw(message);
    this.#after.withdrawn();
  }

  #send() {
    this.#chat.release();
    this.#after.sent();
  }
}
