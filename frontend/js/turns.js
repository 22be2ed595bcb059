/**
 * Who reads an answer, and when: of all tabs one, and of all answers few at a time.
 *
 * A browser opens six connections to a host (HTTP/1.1), for all tabs together. Answers that run wait for nobody: one that
 * is not read for a moment is caught up with in one piece.
 */

/** How many answers a tab reads at a time; the rest of the connections is for what the reader does meanwhile. */
const PLACES = 4;

/** How long one that nobody looks at is read before another one gets its turn, in ms. */
const TURN_MS = 3000;

/** Whether tabs can agree at all: by plain http they cannot, and each reads for itself. */
export const tabsAgree = "locks" in navigator;

/**
 * Do something that only one tab may do at a time; wait for the others. A tab that crashes gives way, too.
 *
 * Rejects with the signal's reason when it is aborted while it waits, and with what the work throws.
 *
 * @param {string} name of what is done, the same in all tabs
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} work
 */
export async function inOneTab(name, signal, work) {
  signal.throwIfAborted();
  if (!tabsAgree) return work();
  let isBegun = false;
  try {
    await navigator.locks.request(name, { signal }, () => {
      isBegun = true;
      return work();
    });
  } catch (error) {
    // Where nothing may be kept, some refuse this; but there no tab knows of another one's answers.
    if (isBegun || !(error instanceof DOMException) || error.name !== "SecurityError") throw error;
    await work();
  }
}

/**
 * A place among those that are read. Its `signal` aborts when somebody else needs it more.
 *
 * @typedef {{signal: AbortSignal, give: () => void}} Place
 *
 * @typedef {object} Wish
 * @property {AbortSignal} signal
 * @property {() => boolean} isSeen whether the reader looks at it: then it goes before the others, and keeps its place
 * @property {() => boolean} canPause whether it may be interrupted now
 *
 * @typedef {{wish: Wish, controller: AbortController, since: number}} Reader who has a place
 */

export class Turns {
  /** @type {Reader[]} */
  #reading = [];
  /** @type {{wish: Wish, enter: () => void}[]} */
  #waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * Wait for a place. Rejects with the wish's signal's reason when that is aborted.
   *
   * @param {Wish} wish
   * @returns {Promise<Place>}
   */
  async take(wish) {
    const place = await this.#entrance(wish);
    this.arrange();
    const give = () => {
      this.#reading = this.#reading.filter((other) => other !== place);
      this.arrange();
    };
    return { signal: place.controller.signal, give };
  }

  /** Look again who is to be read: to be called when what is seen has changed. */
  arrange() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const isUrgent = (/** @type {{wish: Wish}} */ { wish }) => wish.isSeen();
    if (this.#reading.length < PLACES) {
      const next = this.#waiting.find(isUrgent) ?? this.#waiting[0];
      next?.enter();
      return;
    }
    const longest = this.#reading.find(({ wish, controller }) => !controller.signal.aborted && !wish.isSeen() && wish.canPause());
    const left = (longest?.since ?? 0) + TURN_MS - performance.now();
    if (longest && (left <= 0 || this.#waiting.some(isUrgent))) longest.controller.abort();
    else this.#timer = setTimeout(() => this.arrange(), Math.max(left, TURN_MS / 10));
  }

  /** Interrupt all that is being read; what the server has not answered yet, as soon as it has. */
  interrupt(readers = this.#reading) {
    const later = readers.filter((reader) => this.#reading.includes(reader) && !reader.wish.canPause());
    for (const reader of readers) if (!later.includes(reader)) reader.controller.abort();
    if (later.length > 0) setTimeout(() => this.interrupt(later), 50);
  }

  /**
   * @param {Wish} wish
   * @returns {Promise<Reader>}
   */
  #entrance(wish) {
    return new Promise((resolve, reject) => {
      wish.signal.throwIfAborted();
      const leave = () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        wish.signal.removeEventListener("abort", abort);
      };
      const abort = () => {
        leave();
        reject(wish.signal.reason);
      };
      const enter = () => {
        leave();
        const place = { wish, controller: new AbortController(), since: performance.now() };
        this.#reading.push(place);
        resolve(place);
      };
      const waiting = { wish, enter };
      wish.signal.addEventListener("abort", abort);
      this.#waiting.push(waiting);
      this.arrange();
    });
  }
}
