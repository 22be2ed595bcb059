/**
 * One line for those who listen to the page: what it waits for, that an answer is complete, what a button did.
 *
 * A screen reader takes a moment to hear of a change, and then reads what stands there: so each text stands for that
 * long before the next one. What was done is said once; of what the page waits for, only the newest is.
 */

import { words } from "../words/index.js";

/** How long a text stands before the next one, in ms. */
const STANDS_MS = 500;

export class StatusView {
  #root;
  #chat;
  /** What there is to say of the state, and what of that was said last. */
  #news = "";
  #saidNews = "";
  /** What the reader has done, and was not said yet. @type {string[]} */
  #done = [];
  #isStanding = false;

  /**
   * @param {HTMLElement} root a live region
   * @param {import("../chat.js").Chat} chat
   */
  constructor(root, chat) {
    this.#root = root;
    this.#chat = chat;
  }

  /** @param {string} others what other views have to say */
  draw(others) {
    const last = this.#chat.state.messages.at(-1);
    const answer = last?.role === "assistant" && last === this.#chat.followed ? words.announcement(last, this.#chat.connection) : "";
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

  /** @param {string} text */
  #show(text) {
    this.#isStanding = true;
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
