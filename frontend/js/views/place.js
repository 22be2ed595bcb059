/**
 * Where the reader was in each conversation: he comes back to there, also when the page is loaded again.
 *
 * A place is told by the message at the top, not in pixels: the heights of what is not seen are only estimated.
 */

/** How often it is looked again whether the place is reached, a frame each: what comes into view gets its true height. */
const ATTEMPTS = 10;

/** @typedef {{message: string, offset: number}} Place the message at the top, and how far its beginning is below that */

export class Places {
  #scroller;
  #follow;
  /** By the conversation's id; who follows the end has none. @type {Map<string, Place>} */
  #places;

  /**
   * @param {HTMLElement} scroller
   * @param {import("./follow.js").Follow} follow
   * @param {object} options
   * @param {string} options.key where the place is kept while the page is loaded again
   * @param {() => string} options.shown the id of the conversation that is shown
   */
  constructor(scroller, follow, { key, shown }) {
    this.#scroller = scroller;
    this.#follow = follow;
    this.#places = new Map(read(key));
    window.addEventListener("pagehide", () => {
      this.leave(shown());
      write(key, [...this.#places]);
    });
  }

  /**
   * Note where the reader is: he is about to leave.
   *
   * @param {string} id of the conversation that is shown
   */
  leave(id) {
    const place = this.#follow.isFollowing ? null : placeIn(this.#scroller);
    if (place) this.#places.set(id, place);
    else this.#places.delete(id);
  }

  /** @param {string} id */
  has(id) {
    return this.#places.has(id);
  }

  /**
   * Go to where the reader was, or else to the end.
   *
   * @param {string} id of the conversation that is shown, all of it
   */
  async come(id) {
    const place = this.#places.get(id);
    if (!place) return this.#follow.toEnd();
    this.#follow.leave();
    await goTo(this.#scroller, place);
  }
}

/**
 * @param {string} key
 * @returns {[string, Place][]}
 */
function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch (error) {
    // Storage that is switched off, or holds something else, keeps no place.
    if (!(error instanceof DOMException) && !(error instanceof SyntaxError)) throw error;
    return [];
  }
}

/**
 * @param {string} key
 * @param {[string, Place][]} places
 */
function write(key, places) {
  try {
    sessionStorage.setItem(key, JSON.stringify(places));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

/**
 * @param {HTMLElement} scroller
 * @returns {Place | null} null where there is nothing to read
 */
function placeIn(scroller) {
  const { top } = scroller.getBoundingClientRect();
  for (const message of messagesIn(scroller)) {
    const box = message.getBoundingClientRect();
    if (box.bottom > top) return { message: message.dataset.message ?? "", offset: box.top - top };
  }
  return null;
}

/**
 * Go to a place; where it is not there any more, stay.
 *
 * @param {HTMLElement} scroller
 * @param {Place} place
 */
async function goTo(scroller, { message, offset }) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const target = messagesIn(scroller).find(({ dataset }) => dataset.message === message);
    if (!target) return;
    const missed = target.getBoundingClientRect().top - scroller.getBoundingClientRect().top - offset;
    if (Math.abs(missed) < 1) return;
    scroller.scrollTop += missed;
    await new Promise(requestAnimationFrame);
  }
}

/** @param {HTMLElement} scroller */
function messagesIn(scroller) {
  return /** @type {HTMLElement[]} */ ([...scroller.querySelectorAll("[data-message]")]);
}
