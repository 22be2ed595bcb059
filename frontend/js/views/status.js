/**
 * One line for those who listen to the page: what it waits for, that an answer is complete, what a button did.
 *
 * A screen reader takes a moment to hear of a change, and then reads what stands there: so each text stands for that
 * long before the next one. What was done is said once; of what the page waits for, only the newest is.
 *
 * Behind a modal dialog nothing is heard: the line goes into it, and back to its place when the dialog closes.
 */

import { words } from "../words/index.js";

/** How long a text stands before the next one, in ms. */
const STANDS_MS = 500;

export class StatusView {
  #root;
  #home;
  #chats;
  /** What there is to say of the state, and what of that was said last. */
  #news = "";
  #saidNews = "";
  /** What the reader has done, and was not said yet. @type {string[]} */
  #done = [];
  #isStanding = false;

  /**
   * @param {HTMLElement} root a live region
   * @param {import("../chats.js").Chats} chats
   */
  constructor(root, chats) {
    this.#root = root;
    this.#home = /** @type {Element} */ (root.parentElement);
    document.addEventListener("close", () => this.#move(), { capture: true });
    this.#chats = chats;
  }

  /** @param {string} others what other views have to say */
  draw(others) {
    const { state, followed, connection } = this.#chats.shown;
    const last = state.messages.at(-1);
    const answer = last?.role === "assistant" && last === followed ? words.announcement(last, connection) : "";
    this.#news = [answer, others].filter(Boolean).join(" ");
    this.#sayNext();
  }

  /**
   * Say what the reader has just done.
   *
   * @param {string} text
   */
  say(text) {
    this.#done.push(text);
    this.#sayNext();
  }

  #sayNext() {
    if (this.#isStanding) return;
    let text = this.#done.shift();
    if (text === undefined) {
      if (this.#news === this.#saidNews) return;
      text = this.#saidNews = this.#news;
    }
    this.#show(text);
  }

  #move() {
    const place = [...document.querySelectorAll("dialog:modal")].at(-1) ?? this.#home;
    if (this.#root.parentElement !== place) place.append(this.#root);
  }

  /** @param {string} text */
  #show(text) {
    this.#isStanding = true;
    this.#move();
    // The same text twice is no change, which would not be heard.
    this.#root.textContent = "";
    requestAnimationFrame(() => {
      this.#root.textContent = text;
      setTimeout(() => {
        this.#isStanding = false;
        this.#sayNext();
      }, STANDS_MS);
    });
  }
}
