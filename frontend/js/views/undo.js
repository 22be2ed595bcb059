/** Offers to undo what was done last: until something else can be undone, or until its time is over. */

import { words } from "../words/index.js";
import { element, update } from "./element.js";

/** How long it is offered, in ms; longer where the reader is about to take it. */
const OFFERED_MS = 12_000;

export class Undo {
  root = element("div", { className: "undo", hidden: true });
  #text = element("p", { dir: "auto" });
  #button = element("button", { type: "button", onclick: () => this.#undo() }, words.actions.undo);
  #left;
  #timer = 0;
  #act = () => {};

  /** @param {() => void} left called when what had the focus goes away */
  constructor(left) {
    this.#left = left;
    this.root.append(this.#text, this.#button);
  }

  /**
   * Offer it, and bring the focus there: what it was on is most likely gone.
   *
   * @param {string} text what was done
   * @param {() => void} undo
   */
  offer(text, undo) {
    this.#act = undo;
    this.#text.textContent = text;
    update(this.root, { hidden: false });
    this.#button.focus({ preventScroll: true });
    this.#wait();
  }

  get isOffered() {
    return !this.root.hidden;
  }

  withdraw() {
    clearTimeout(this.#timer);
    const hadFocus = this.root.contains(document.activeElement);
    update(this.root, { hidden: true });
    if (hadFocus) this.#left();
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // Nobody is made to hurry (WCAG 2.2.1).
      if (this.root.matches(":hover, :has(:focus-visible)")) this.#wait();
      else this.withdraw();
    }, OFFERED_MS);
  }

  #undo() {
    this.withdraw();
    this.#act();
  }
}
