/** One line for those who listen to the page: what it waits for, that an answer is complete, what a button did. */

import { words } from "../words/index.js";

export class StatusView {
  #root;
  #chat;
  /** The answer that was seen running: the end of any other is no news. @type {import("../answer.js").Answer | null} */
  #followed = null;
  #news = "";

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
    this.#followed = this.#chat.running ?? this.#followed;
    const last = this.#chat.state.messages.at(-1);
    const isNews = last?.role === "assistant" && last === this.#followed;
    const answer = isNews ? words.announcement(last, this.#chat.connection) : "";
    const news = [answer, others].filter(Boolean).join(" ");
    if (news === this.#news) return;
    this.#news = news;
    this.#root.textContent = news;
  }

  /**
   * Say what the reader has just done.
   *
   * @param {string} text
   */
  say(text) {
    // The same text twice is no change, which would not be heard.
    this.#root.textContent = "";
    requestAnimationFrame(() => (this.#root.textContent = text));
  }
}
