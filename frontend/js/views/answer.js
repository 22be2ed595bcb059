/**
 * One answer: what is waited for, what was thought, the text, and under it what can be done with it.
 *
 * Under the text is one row from the beginning: the words of waiting give way to the buttons there, so that nothing
 * moves when the text ends.
 */

import { canContinue, endedWell, isTooLong } from "../answer.js";
import { models } from "../models.js";
import { toHtml } from "../rich_text.js";
import { words } from "../words/index.js";
import { AgainView } from "./again.js";
import { Branches } from "./branches.js";
import { CopyButtons } from "./copy_buttons.js";
import { element, update } from "./element.js";
import { FiguresView } from "./figures.js";
import { StreamedMarkdown } from "./streamed_markdown.js";
import { ThinkingView } from "./thinking.js";

/**
 * @typedef {import("../answer.js").Answer} Answer
 * @typedef {import("../chat.js").Chat} Chat
 */

export class AnswerView {
  #chat;
  #after;
  #leftOut = element("p", { className: "left-out", hidden: true });
  #waiting = element("p", { className: "waiting", hidden: true });
  #branches;
  /** The row, and with it the note, the buttons and the figures under the text. */
  #foot = element("div", { className: "answer-foot" }, this.#waiting);
  #text = new StreamedMarkdown("answer-text");
  /** @type {ThinkingView | null} */
  #thinking = null;
  /** Whether it was drawn while it ran. */
  #wasRunning = false;
  /** Who writes it: seen where there are several who could have. */
  #author = element("bdi");
  #heading = element("h2", {}, this.#author);
  /** What is under the text of an answer that has ended, and for which end. */
  #ending = {
    end: /** @type {import("../answer.js").End | null} */ (null),
    isLast: false,
    isIdle: false,
    models: models.list,
    parts: /** @type {HTMLElement[]} */ ([]),
    /** What can be done about it. */
    remedies: element("div"),
  };

  /**
   * @param {Answer} message
   * @param {Chat} chat
   * @param {import("./conversation.js").AfterMessage} after
   */
  constructor(message, chat, after) {
    this.message = message;
    this.#chat = chat;
    this.#after = after;
    this.#branches = new Branches(message, chat, after.walked);
    this.root = element("article", { className: "message answer" }, this.#heading, this.#leftOut, this.#text.root, this.#foot);
  }

  /** @param {boolean} isLast only the last answer can be continued */
  draw(isLast) {
    const { message } = this;
    const { end } = message;
    const isIdle = this.#chat.running === null;
    this.#wasRunning ||= end === null;
    this.#branches.draw();
    const was = this.#ending;
    if (end && was.end === end && was.isLast === isLast && was.isIdle === isIdle && was.models === models.list) return;
    // What may go on is left open, and so goes on without being drawn anew.
    const isFinal = end !== null && !(isLast && canContinue(message));
    if (message.thinkingSince !== null) {
      this.#thinking ??= new ThinkingView(message, this.#text.root);
      this.#thinking.draw(isFinal);
    }
    this.#text.draw(message.content, isFinal);
    this.#drawAuthor();
    this.#drawLeftOut();
    this.#drawWaiting();
    this.#drawEnding(isLast, isIdle);
  }

  #drawAuthor() {
    const { model } = this.message;
    const isNamed = model !== null && models.list.length > 1;
    update(this.#author, { textContent: isNamed ? models.nameOf(model) : words.reading.model });
    update(this.#heading, { className: isNamed ? "author" : "visually-hidden" });
  }

  #drawLeftOut() {
    const { leftOut } = this.message;
    update(this.#leftOut, { textContent: leftOut > 0 ? words.leftOut(leftOut) : "", hidden: leftOut === 0 });
  }

  #drawWaiting() {
    const { message } = this;
    const text = message.end ? "" : words.waiting(message, this.#chat.connection);
    // While text arrives, the mark alone says that more is to come.
    const hidden = message.end !== null || (text === "" && message.phase === "thinking");
    update(this.#waiting, { textContent: text, hidden });
  }

  /**
   * @param {boolean} isLast
   * @param {boolean} isIdle whether no answer runs on this path
   */
  #drawEnding(isLast, isIdle) {
    const { end } = this.message;
    if (this.#ending.end !== end) {
      for (const part of this.#ending.parts) part.remove();
      this.root.classList.remove("cut-off");
      const remedies = element("div");
      const parts = end ? this.#endingOf(remedies) : [];
      this.#foot.append(...parts);
      this.#ending = { end, isLast, isIdle, models: models.list, parts, remedies };
    }
    Object.assign(this.#ending, { isLast, isIdle, models: models.list });
    update(this.#ending.remedies, { hidden: !isIdle });
    for (const remedy of this.#ending.remedies.children) {
      if (remedy instanceof HTMLElement && remedy.dataset.of === "last") update(remedy, { hidden: !isLast });
    }
  }

  /** @param {HTMLElement} remedies where they go */
  #endingOf(remedies) {
    const { message } = this;
    const said = words.ending(message);
    remedies.append(...this.#remedies());
    this.root.classList.toggle("cut-off", said?.error === true && message.content !== "");
    /** @type {HTMLElement[]} */
    const parts = [];
    if (said) parts.push(this.#note(said, remedies));
    if (message.content !== "") {
      const figures = new FiguresView(message);
      const copying = new CopyButtons(this.#text.root, this.#after.say, () => ({
        markdown: message.content,
        html: toHtml(this.#text.root),
      }));
      const actions = element("div", { className: "message-actions" }, this.#branches.root, copying.root, figures.button);
      if (!said) actions.append(remedies);
      parts.push(actions, figures.root);
    } else {
      parts.push(this.#branches.root);
    }
    return parts;
  }

  /**
   * @param {{text: string, code: string, error: boolean}} said
   * @param {HTMLElement} remedies
   */
  #note({ text, code, error }, remedies) {
    const note = element("div", { className: error ? "note error" : "note" }, element("p", {}, text));
    if (error && this.#chat.followed === this.message) note.role = "alert";
    if (code !== "") note.append(element("small", {}, code));
    const again = new AgainView(this.message, this.#chat, this.#after.left, this.#wasRunning);
    if (again.isWanted) {
      note.append(again.root);
      remedies.append(again.cancel);
    }
    remedies.className = "note-actions";
    note.append(remedies);
    return note;
  }

  /** What can be done about an end; what is for the last answer of the path alone is marked as such. */
  #remedies() {
    const { reading } = words;
    const button = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      element("button", { type: "button", onclick: act }, name);
    const again = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      button(name, () => {
        act();
        // The button goes away.
        this.#after.left();
      });
    const retry = again(reading.retry, () => this.#chat.retry(this.message));
    // Beside its message is a button to edit that.
    if (endedWell(this.message)) return [retry];
    const edit = button(reading.edit, () => this.#chat.edit());
    edit.dataset.of = "last";
    // One that a model finds too long may be for another model.
    if (isTooLong(this.message)) return this.message.end?.kind === "refused" ? [edit] : [retry, edit];
    const remedies = [];
    if (canContinue(this.message)) {
      const proceed = again(reading.continue, () => this.#chat.continue());
      proceed.dataset.of = "last";
      remedies.push(proceed);
    }
    remedies.push(retry);
    if (this.message.end?.kind !== "length") remedies.push(edit);
    return remedies;
  }
}
