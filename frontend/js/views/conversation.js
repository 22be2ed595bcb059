/**
 * The messages. Each has one view, made once, which draws what is new in its message; a message that was replaced gets
 * a new view.
 *
 * A long conversation is opened at its end: the messages before are made in slices, between which the page stays alive,
 * and are shown all at once, for that costs a browser no more than to show some.
 */

import { endedWell } from "../answer.js";
import { words } from "../words/index.js";
import { AnswerView } from "./answer.js";
import { Branches } from "./branches.js";
import { CopyButtons } from "./copy_buttons.js";
import { element, update } from "./element.js";

export { Places } from "./place.js";
export { loadRenderer } from "./streamed_markdown.js";

/**
 * @typedef {import("../chat.js").Chat} Chat
 * @typedef {import("../chats.js").Chats} Chats
 * @typedef {import("../store.js").Message} Message
 * @typedef {import("../store.js").UserMessage} UserMessage
 *
 * @typedef {object} After
 * @property {(text: string) => void} say called with what is to be told to those who listen to the page
 * @property {() => void} left called when what had the focus went away
 *
 * @typedef {{message: Message, root: HTMLElement, draw: (isLast: boolean) => void}} MessageView
 *
 * @typedef {After & {walked: ConstructorParameters<typeof Branches>[2]}} AfterMessage
 */

/** How many messages are shown at once when a conversation is opened: more than a screen has room for. */
const AT_ONCE = 12;

/** How long the page may be busy with showing those before, in ms: it has to hear a key in between. */
const SLICE_MS = 20;

export class ConversationView {
  #root;
  #chats;
  #follow;
  /** @type {AfterMessage} */
  #after;
  /** Those of the messages from `#first` on. @type {MessageView[]} */
  #views = [];
  /** How many messages before the views are still to be shown. */
  #first = 0;
  /** The views of the last ones among those, made and not shown yet. @type {MessageView[]} */
  #before = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #slice;

  /**
   * @param {HTMLElement} root
   * @param {Chats} chats
   * @param {import("./follow.js").Follow} follow
   * @param {After} after
   */
  constructor(root, chats, follow, after) {
    this.#root = root;
    root.replaceChildren();
    this.#chats = chats;
    this.#follow = follow;
    this.#after = { ...after, walked: (id, button) => this.#walked(id, button) };
  }

  draw() {
    const chat = this.#chats.shown;
    const { messages } = chat.state;
    const shown = messages.slice(this.#first);
    const differs = shown.findIndex((message, index) => this.#views[index]?.message !== message);
    for (const view of this.#views.splice(differs < 0 ? shown.length : differs)) view.root.remove();
    if (this.#views.length === 0) {
      this.#first = Math.max(0, messages.length - AT_ONCE);
      this.#before = [];
    }
    for (const message of messages.slice(this.#first + this.#views.length)) {
      const view = this.#view(message, chat);
      this.#views.push(view);
      this.#root.append(view.root);
    }
    this.#views.forEach((view) => view.draw(view.message === messages.at(-1)));
    if (this.#first > 0) this.#slice ??= setTimeout(() => this.#drawBefore(SLICE_MS));
    update(this.#root, { ariaBusy: String(chat.running !== null) });
  }

  /** Show all messages now. */
  drawAll() {
    this.draw();
    this.#drawBefore(Infinity);
  }

  /** @param {number} ms how long it may take */
  #drawBefore(ms) {
    clearTimeout(this.#slice);
    this.#slice = undefined;
    const chat = this.#chats.shown;
    const end = performance.now() + ms;
    // Another conversation, or another branch, is shown by now: the next drawing begins anew.
    if (this.#first === 0 || chat.state.messages[this.#first] !== this.#views[0]?.message) return;
    while (this.#before.length < this.#first) {
      if (performance.now() > end) {
        this.#slice = setTimeout(() => this.#drawBefore(SLICE_MS));
        return;
      }
      const message = /** @type {Message} */ (chat.state.messages[this.#first - 1 - this.#before.length]);
      const view = this.#view(message, chat);
      view.draw(false);
      this.#before.push(view);
    }
    this.#views.unshift(...this.#before.reverse());
    this.#root.prepend(...this.#before.map(({ root }) => root));
    this.#first = 0;
    this.#before = [];
  }

  /**
   * @param {Message} message
   * @param {Chat} chat
   * @returns {MessageView}
   */
  #view(message, chat) {
    const view =
      message.role === "user" ? new UserView(message, chat, this.#after) : new AnswerView(message, chat, this.#after);
    view.root.dataset.message = message.id;
    return view;
  }

  /**
   * Another branch is shown: its button is where the one was that was pressed.
   *
   * @param {string} id
   * @param {"previous" | "next"} name
   */
  #walked(id, name) {
    const pressed = document.activeElement;
    this.#follow.stay(pressed, () => {
      this.draw();
      const branches = this.#views.find(({ message }) => message.id === id)?.root.querySelector(".branches");
      const button = branches?.querySelector(`.${name}:enabled`) ?? branches?.querySelector("button:enabled");
      if (!(button instanceof HTMLElement)) return pressed;
      button.focus({ preventScroll: true });
      return button;
    });
  }
}

class UserView {
  #chat;
  #edit;
  #branches;

  /**
   * @param {UserMessage} message
   * @param {Chat} chat
   * @param {AfterMessage} after
   */
  constructor(message, chat, { say, walked }) {
    this.message = message;
    this.#chat = chat;
    this.#edit = element("button", { type: "button", hidden: true, onclick: () => chat.edit(message) }, words.reading.edit);
    this.#branches = new Branches(message, chat, walked);
    const label = element("h2", { className: "visually-hidden" }, words.reading.you);
    const text = element("p", {}, message.content);
    const copying = new CopyButtons(text, say, () => ({ markdown: message.content }));
    const actions = element("div", { className: "message-actions" }, this.#branches.root, this.#edit, copying.root);
    this.root = element("article", { className: "message user" }, label, text, actions);
  }

  draw() {
    const { running, state } = this.#chat;
    const { messages, editing } = state;
    const answer = messages.at(-2) === this.message ? messages.at(-1) : undefined;
    // After another end, the note about it has this button.
    const isInNote = answer?.role === "assistant" && !endedWell(answer);
    update(this.#edit, { hidden: isInNote || running !== null || editing !== null });
    this.#branches.draw();
  }
}
