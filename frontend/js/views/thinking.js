/** What a model thought before its answer: closed at first, and open or closed by the reader alone. */

import { words } from "../words/index.js";
import { element, update } from "./element.js";
import { StreamedMarkdown } from "./streamed_markdown.js";

const TICK_MS = 1000;

export class ThinkingView {
  #answer;
  #summary = element("summary");
  #text = new StreamedMarkdown("thinking-text");
  #root = element("details", { className: "thinking" }, this.#summary, this.#text.root);
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;

  /**
   * @param {import("../answer.js").Answer} answer
   * @param {HTMLElement} before what it stands before
   */
  constructor(answer, before) {
    this.#answer = answer;
    before.before(this.#root);
  }

  /** @param {boolean} isFinal whether no more can come */
  draw(isFinal) {
    const { thinking, thinkingMs } = this.#answer;
    this.#text.draw(thinking, isFinal);
    this.#drawSummary();
    const isBusy = thinkingMs === null;
    this.#root.classList.toggle("busy", isBusy);
    if (isBusy) this.#clock ??= setInterval(() => this.#tick(), TICK_MS);
    else this.#stopClock();
  }

  #tick() {
    if (this.#root.isConnected) this.#drawSummary();
    else this.#stopClock();
  }

  #stopClock() {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  #drawSummary() {
    update(this.#summary, { textContent: words.thinkingSummary(this.#answer, Date.now()) });
  }
}
