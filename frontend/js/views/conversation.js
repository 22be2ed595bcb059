/**
 * The messages. Each has one view, made once, which draws what is new in its message; a message that was replaced gets
 * a new view.
 */

import { endedWell } from "../answer.js";
import { words } from "../words/index.js";
import { AnswerView } from "./answer.js";
import { CopyButtons } from "./copy_buttons.js";
import { element, update } from "./element.js";

/**
 * @typedef {import("../chat.js").Chat} Chat
 * @typedef {import("../chat.js").Answer} Answer
 * @typedef {import("../chat.js").UserMessage} UserMessage
 *
 * @typedef {object} After
 * @property {(text: string) => void} say called with what is to be told to those who listen to the page
 * @property {() => void} left called when what had the focus went away
 */

export class ConversationView {
  #root;
  #chat;
  #after;
  /** @type {{message: UserMessage | Answer, root: HTMLElement, draw: (isLast: boolean) => void}[]} */
  #views = [];

  /**
   * @param {HTMLElement} root
   * @param {Chat} chat
   * @param {After} after
   */
  constructor(root, chat, after) {
    this.#root = root;
    this.#chat = chat;
    this.#after = after;
  }

  draw() {
    const { messages } = this.#chat.state;
    const same = messages.findIndex((message, index) => this.#views[index]?.message !== message);
    for (const view of this.#views.splice(same < 0 ? messages.length : same)) view.root.remove();
    for (const message of messages.slice(this.#views.length)) {
      const view =
        message.role === "user"
          ? new UserView(message, this.#chat, this.#after.say)
          : new AnswerView(message, this.#chat, this.#after);
      this.#views.push(view);
      this.#root.append(view.root);
    }
    this.#views.forEach((view, index) => view.draw(index === messages.length - 1));
    update(this.#root, { ariaBusy: String(this.#chat.running !== null) });
  }
}

class UserView {
  #chat;
  #edit = element("button", { type: "button", hidden: true, onclick: () => this.#chat.edit() }, words.reading.edit);

  /**
   * @param {UserMessage} message
   * @param {Chat} chat
   * @param {(text: string) => void} say
   */
  constructor(message, chat, say) {
    this.message = message;
    this.#chat = chat;
    const label = element("h2", { className: "visually-hidden" }, words.reading.you);
    const text = element("p", {}, message.content);
    const copying = new CopyButtons(text, say, () => ({ markdown: message.content }));
    const actions = element("div", { className: "message-actions" }, this.#edit, copying.root);
    this.root = element("article", { className: "message user" }, label, text, actions);
  }

  draw() {
    const { messages, editing } = this.#chat.state;
    const answer = messages.at(-2) === this.message ? messages.at(-1) : undefined;
    // After any other end, the note about it has this button.
    const isAnswered = answer?.role === "assistant" && endedWell(answer);
    update(this.#edit, { hidden: !isAnswered || editing !== null });
  }
}
