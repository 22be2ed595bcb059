/**
 * Under a question that the server refused for now: when it can be sent again, counted down.
 *
 * A short wait ends by itself: the question is sent again if its reader is still there, has not gone on to something else,
 * and has not called it off; what is sent meanwhile waits behind it. After a long one, and after several in a row, the
 * reader decides; only where the server is busy for a while, nobody knows how long, is it tried for as long as it takes.
 * What is seen changes each second; those who listen hear when it will be, and when it is.
 */

import { countDown } from "../countdown.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";

/** How long the reader is thought to wait for it, in ms. */
const SHORT_MS = 90_000;

/** A timer that is later than this, in ms, has slept, and the reader has been away. */
const LATE_MS = 5000;

/** How often a question is sent by itself, beside the first time. */
const MOST_RUNS = 3;

/** Refusals that end when other answers do: of those, a question may have many. */
const BUSY = ["too_many_generations", "queue_full"];

/** How long is waited after those, in ms: twice as long each time. */
const BUSY_TIMES = { base: 2000, cap: 30_000 };

/** So long at most does each page wait beyond the moment, in ms: those that were refused together come one by one. */
const SPREAD_MS = 500;

export class AgainView {
  root = element("div", { className: "again" });
  /** Whether there is anything to wait for, or was: a page that is not seen may be drawn only after the moment. */
  isWanted;
  /** To be put among what can be done: calls it off. */
  cancel = element("button", { type: "button", onclick: () => this.#callOff() }, words.actions.cancel);
  #heard = element("span", { className: "visually-hidden" });
  #seen = element("span", { ariaHidden: "true" });
  #message;
  #chat;
  #left;
  #end;
  #until;
  #isBusy;
  #isByItself;
  /** The answers of this browser that are being read, and those of them that were already a second ago. */
  #read = { names: /** @type {(string | undefined)[]} */ ([]), steady: /** @type {(string | undefined)[]} */ ([]) };
  #ended = new AbortController();

  /**
   * @param {import("../answer.js").Answer} message
   * @param {import("../chat.js").Chat} chat
   * @param {() => void} left called when what had the focus goes away
   * @param {boolean} isNews whether the reader was looking on when it was refused
   */
  constructor(message, chat, left, isNews) {
    const { end, content, thinking, runs } = message;
    this.#message = message;
    this.#chat = chat;
    this.#left = left;
    this.#end = end;
    this.#isBusy = end !== null && "code" in end && BUSY.includes(end.code);
    const until = (end && "until" in end && end.until) || 0;
    this.#until = this.#isBusy && until > 0 ? until + moreWait(runs) : until;
    const isShort = this.#until - Date.now() < SHORT_MS;
    this.#isByItself = isShort && content === "" && thinking === "" && (this.#isBusy || runs <= MOST_RUNS) && this.#isLast;
    this.root.append(this.#heard, this.#seen);
    this.isWanted = this.#until > (isNews ? 0 : Date.now());
    if (this.isWanted) this.#begin();
  }

  #begin() {
    const now = Date.now();
    if (this.#until > now) update(this.#heard, { textContent: this.#text(now) });
    update(this.cancel, { hidden: !this.#isByItself });
    if (this.#isByItself) this.#chat.waitFor(this.#end);
    countDown(this.#until, {
      left: (now) => this.#draw(now),
      over: (lateMs) => this.#over(lateMs),
      signal: this.#ended.signal,
    });
  }

  /** @param {number} now */
  #draw(now) {
    // What it was under is not shown any more.
    if (this.root.parentElement && !this.root.isConnected) {
      this.#stopWaiting();
      return this.#ended.abort();
    }
    update(this.#seen, { textContent: this.#text(now) });
    if (this.#isBusy && this.#isByItself) this.#look();
  }

  /** Wait no longer once an answer of this browser, in any tab, has ended: each is read under a lock. */
  async #look() {
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const names = held.map(({ name }) => name);
    const { names: before, steady } = this.#read;
    // Others that are refused hold theirs for a moment only.
    this.#read = { names, steady: names.filter((name) => before.includes(name)) };
    if (steady.every((name) => names.includes(name)) || this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#over(0);
  }

  /** @param {number} now */
  #text(now) {
    const { byItself, possible } = words.again;
    return (this.#isByItself ? byItself : possible)(words.when(this.#until, now));
  }

  #callOff() {
    this.#stopWaiting();
    update(this.#heard, { textContent: this.#text(Date.now()) });
    this.#draw(Date.now());
    update(this.cancel, { hidden: true });
    this.#left();
  }

  /** @param {number} lateMs */
  #over(lateMs) {
    if (this.#isBusy && this.#isByItself && document.hidden) {
      // It goes when the reader is back.
      document.addEventListener("visibilitychange", () => this.#over(0), { once: true });
    } else if (this.#isByItself && (this.#isBusy || lateMs < LATE_MS)) {
      setTimeout(() => this.#send(), SPREAD_MS * Math.random());
    } else {
      this.#tell();
    }
  }

  #send() {
    // It is not shown any more, or was asked again already.
    if (!this.root.isConnected || this.#message.end !== this.#end) return this.#stopWaiting();
    if (!this.#isByItself || !this.#isLast || document.hidden || this.#chat.state.editing) return this.#tell();
    const hadFocus = this.root.closest(".note")?.contains(document.activeElement);
    this.#chat.retry(this.#message);
    if (hadFocus) this.#left();
  }

  #tell() {
    this.#stopWaiting();
    for (const text of [this.#heard, this.#seen]) update(text, { textContent: words.again.now });
    update(this.cancel, { hidden: true });
  }

  #stopWaiting() {
    if (this.#isByItself && this.#isLast && this.#message.end === this.#end) this.#chat.waitFor(null);
    this.#isByItself = false;
  }

  get #isLast() {
    return this.#chat.state.messages.at(-1) === this.#message;
  }
}

/**
 * How long is waited beyond what the server says, in ms.
 *
 * @param {number} runs how often the question was sent
 */
function moreWait(runs) {
  const { base, cap } = BUSY_TIMES;
  return Math.min(cap, base * 2 ** (runs - 1)) - base;
}
