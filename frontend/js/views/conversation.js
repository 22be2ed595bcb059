/**
 * The messages. Each has one view, made once, which draws what is new in its message; a message that was replaced gets
 * a new view.
 */

import { element } from "./element.js";
import { GrowingText } from "./growing_text.js";
import { words } from "../words/index.js";

/**
 * @typedef {import("../chat.js").Chat} Chat
 * @typedef {import("../chat.js").Answer} Answer
 * @typedef {import("../chat.js").UserMessage} UserMessage
 */

export class ConversationView {
  #root;
  #chat;
  /** @type {{message: UserMessage | Answer, root: HTMLElement, draw: (isLast: boolean) => void}[]} */
  #views = [];

  /**
   * @param {HTMLElement} root
   * @param {Chat} chat
   */
  constructor(root, chat) {
    this.#root = root;
    this.#chat = chat;
  }

  draw() {
    const { messages } = this.#chat.state;
    const same = messages.findIndex((message, index) => this.#views[index]?.message !== message);
    for (const view of this.#views.splice(same < 0 ? messages.length : same)) view.root.remove();
    for (const message of messages.slice(this.#views.length)) {
      const view = message.role === "user" ? new UserView(message) : new AnswerView(message, this.#chat);
      this.#views.push(view);
      this.#root.append(view.root);
    }
    this.#views.forEach((view, index) => view.draw(index === messages.length - 1));
    this.#root.ariaBusy = String(this.#chat.running !== null);
  }
}

class UserView {
  /** @param {UserMessage} message */
  constructor(message) {
    this.message = message;
    const label = element("h2", { className: "visually-hidden" }, "You");
    this.root = element("article", { className: "message user" }, label, element("p", {}, message.content));
  }

  draw() {}
}

class AnswerView {
  #chat;
  #waiting = element("p", { className: "waiting", hidden: true });
  #body = element("div", { className: "answer-text" });
  #text = new GrowingText(this.#body);
  /** @type {ThinkingView | null} */
  #thinking = null;
  /** The note under the answer, and whether it has its buttons. @type {{root: HTMLElement, isLast: boolean} | null} */
  #note = null;
  #settled = false;

  /**
   * @param {Answer} message
   * @param {Chat} chat
   */
  constructor(message, chat) {
    this.message = message;
    this.#chat = chat;
    const label = element("h2", { className: "visually-hidden" }, "Burble");
    this.root = element("article", { className: "message answer" }, label, this.#body, this.#waiting);
  }

  /** @param {boolean} isLast */
  draw(isLast) {
    const { message } = this;
    if (this.#settled) {
      if (this.#note?.isLast !== isLast) this.#drawNote(isLast);
      return;
    }
    this.#settled = message.end !== null;
    if (message.thinkingSince !== null) {
      this.#thinking ??= new ThinkingView(this.#body);
      this.#thinking.draw(message);
    }
    this.#text.draw(message.content);
    const waiting = this.#settled ? "" : words.waiting(message, this.#chat.connection);
    if (this.#waiting.textContent !== waiting) this.#waiting.textContent = waiting;
    this.#waiting.hidden = waiting === "";
    this.root.classList.toggle("streaming", !this.#settled && message.phase === "answering");
    if (this.#settled) this.#drawNote(isLast);
  }

  /** @param {boolean} isLast only the last answer can be asked for again */
  #drawNote(isLast) {
    this.#note?.root.remove();
    const root = this.#noteOf(isLast);
    this.#note = { root, isLast };
    this.root.append(root);
  }

  /** @param {boolean} isLast */
  #noteOf(isLast) {
    const said = words.ending(this.message);
    if (!said) return element("div", { hidden: true });
    const note = element("div", { className: said.error ? "note error" : "note" });
    if (said.error) note.role = "alert";
    note.append(element("p", {}, said.text));
    if (said.code !== "") note.append(element("small", {}, said.code));
    if (isLast && this.message.end?.kind !== "length") {
      const retry = element("button", { type: "button", onclick: () => this.#chat.retry() }, "Retry");
      const edit = element("button", { type: "button", onclick: () => this.#chat.edit() }, "Edit message");
      note.append(element("div", { className: "note-actions" }, retry, edit));
    }
    return note;
  }
}

class ThinkingView {
  #summary = element("summary");
  #body = element("div", { className: "thinking-text" });
  #root = element("details", { className: "thinking", open: true }, this.#summary, this.#body);
  #text = new GrowingText(this.#body);
  /** Whether the reader has decided if it is open. */
  #decided = false;

  /** @param {HTMLElement} before */
  constructor(before) {
    this.#summary.addEventListener("click", () => {
      this.#decided = true;
    });
    before.before(this.#root);
  }

  /** @param {Answer} answer */
  draw(answer) {
    const summary = words.thinkingSummary(answer);
    if (this.#summary.textContent !== summary) this.#summary.textContent = summary;
    this.#text.draw(answer.thinking);
    const done = answer.thinkingMs !== null;
    this.#root.classList.toggle("busy", !done);
    if (done && !this.#decided) {
      this.#root.open = false;
      this.#decided = true;
    }
  }
}
