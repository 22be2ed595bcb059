/**
 * Keeps one JSON value for this tab, so that a reload loses nothing.
 *
 * One value, written in one piece: a reload finds either all of a state or all of an earlier one.
 */

import { words } from "./words/index.js";

const INTERVAL_MS = 1000;

export class Store {
  /**
   * Whether what was loaded is also in another tab, which this one was duplicated from: known after `load()`.
   *
   * A tab marks its storage for as long as it is seen, so that only a copy begins with the mark, or a tab that crashed.
   */
  isCopy = false;

  #key;
  #mark;
  #onTrouble;
  /** What is to be written next. @type {unknown} */
  #pending;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} key
   * @param {(words: string | null) => void} onTrouble called when a value cannot be kept, and with null when it can again
   */
  constructor(key, onTrouble) {
    this.#key = key;
    this.#mark = `${key} is seen`;
    this.#onTrouble = onTrouble;
    window.addEventListener("pagehide", () => this.#show(false));
    window.addEventListener("pageshow", () => this.#show(!document.hidden));
    document.addEventListener("visibilitychange", () => this.#show(!document.hidden));
  }

  /** Return the value that was kept, or null. */
  load() {
    try {
      this.isCopy = sessionStorage.getItem(this.#mark) !== null;
      this.#markAs(!document.hidden);
      return JSON.parse(sessionStorage.getItem(this.#key) ?? "null");
    } catch (error) {
      if (!(error instanceof SyntaxError) && !isRefusal(error)) throw error;
      this.#onTrouble(words.storage.unreadable);
      return null;
    }
  }

  /**
   * Write the value about once a second, as it is then.
   *
   * @param {unknown} value
   */
  save(value) {
    this.#pending = value;
    this.#timer ??= setTimeout(() => this.flush(), INTERVAL_MS);
  }

  /** @param {boolean} isSeen */
  #show(isSeen) {
    this.flush();
    this.#markAs(isSeen);
  }

  /** @param {boolean} isSeen */
  #markAs(isSeen) {
    try {
      if (isSeen) sessionStorage.setItem(this.#mark, "");
      else sessionStorage.removeItem(this.#mark);
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }

  /** Write at once what waits to be written. */
  flush() {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      sessionStorage.setItem(this.#key, JSON.stringify(this.#pending));
      this.#onTrouble(null);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#onTrouble(words.storage.full);
    }
  }
}

/**
 * No room (QuotaExceededError), or storage is switched off (SecurityError).
 *
 * @param {unknown} error
 */
function isRefusal(error) {
  return error instanceof DOMException && ["QuotaExceededError", "SecurityError"].includes(error.name);
}
