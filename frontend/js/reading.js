/**
 * Reads one answer to its end and keeps what has come: whichever tab does it, whatever the connection does.
 *
 * Of all tabs one reads; the others see what it keeps, and go on where it ended when it goes away. What is kept is
 * consistent at each moment: the text, and the id of the last event that is in it.
 */

import { applyEvent, endOf } from "./answer.js";
import { admission, answer as follow, stopAnswer } from "./api.js";
import { pause } from "./retry.js";
import { inOneTab, tabsAgree } from "./turns.js";

/**
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {import("./answer.js").End} End
 *
 * @typedef {object} Surroundings what a reading needs of its conversation
 * @property {string} name of all that is kept here: the same in all tabs
 * @property {import("./turns.js").Turns} turns
 * @property {() => boolean} isSeen whether the reader looks at the conversation
 * @property {() => boolean} isLeaving whether the page may be about to go away
 * @property {() => Promise<object>} request the body that asks for the answer
 * @property {() => Promise<void>} refresh take what another tab has kept of the answer
 * @property {(options: {unasked: boolean}) => Promise<unknown>} save keep the answer as it is
 * @property {(end: End) => void} ended
 * @property {() => void} arrived something of the answer is new
 * @property {() => void} changed
 */

/** At most so often is what has come kept, in ms. */
const SAVE_EVERY_MS = 250;

/** A connection that breaks again sooner than this, in ms, without an event, was never back. */
const BACK_AFTER_MS = 1000;

/** How long a page that may be about to go away waits until it believes that the server cannot be reached, in ms. */
const LEAVING_MS = 3000;

/** Where tabs cannot agree: how long another one may take to ask before its question counts as lost, in ms. */
const OTHERS_ASK_MS = 30_000;

export class Reading {
  /** How the connection is. @type {import("./sse.js").ConnectionState} */
  connection = "open";

  #answer;
  #run;
  #around;
  #controller = new AbortController();
  #savedAt = -Infinity;
  /** Writes that are under way. */
  #writes = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving;
  /** Runs while a connection is new, after one that was lost. @type {ReturnType<typeof setTimeout> | undefined} */
  #back;

  /**
   * @param {Answer} answer one that has not ended
   * @param {Surroundings} around
   */
  constructor(answer, around) {
    this.#answer = answer;
    this.#run = answer.runs;
    this.#around = around;
  }

  /** Whether it reads what the answer does now; after a stop, or a page that was left, another reading may go on. */
  get isCurrent() {
    return !this.#isOver && !this.#controller.signal.aborted;
  }

  get #isOver() {
    return this.#answer.runs !== this.#run || this.#answer.end !== null;
  }

  /**
   * Read until the end, or until `hangUp()`.
   *
   * @param {boolean} isOwn whether this page has asked for the answer just now
   */
  async run(isOwn) {
    const { signal } = this.#controller;
    try {
      if (!isOwn && !tabsAgree) await this.#leaveItToTheOthers();
      const name = `${this.#around.name} ${this.#answer.id} ${this.#run}`;
      await inOneTab(name, signal, async () => {
        try {
          await this.#read(isOwn);
        } finally {
          // Whoever is next must find how it ended, or would ask again: what is read back was written before.
          if (this.#isOver) await this.#around.refresh();
        }
      });
    } catch (error) {
      // Hung up. Anything else is a fault of this page, and is shown as one.
      if (signal.aborted && error === signal.reason) return;
      if (this.isCurrent) this.#around.ended({ kind: "failed", code: "page_error", message: String(error) });
      throw error;
    } finally {
      clearTimeout(this.#back);
      if (this.#saving !== undefined) this.#save();
    }
  }

  /** Read no more; the answer goes on without. */
  hangUp() {
    this.#controller.abort();
  }

  /** The page goes away: keep what has come, and read no more. */
  leave() {
    // What is being written looks first at what is kept, and may not get to the end. Where tabs cannot agree, another one
    // may be further.
    if (this.#saving !== undefined || this.#writes > 0) this.#save({ unasked: this.isCurrent && tabsAgree });
    // What was stopped before it had an id is still to be stopped.
    if (this.isCurrent) this.hangUp();
  }

  /** A question without an answer is on another tab's way, or on that of a page that was left: ask it only once. */
  async #leaveItToTheOthers() {
    if (this.#answer.generation !== "") return;
    // A pause ends early where the reader returns to the page.
    for (const until = performance.now() + OTHERS_ASK_MS; this.isCurrent && this.#answer.generation === ""; ) {
      const left = until - performance.now();
      if (left <= 0) break;
      await pause(left, this.#controller.signal);
    }
    await this.#around.refresh();
    if (this.isCurrent && this.#answer.generation === "") this.#around.ended({ kind: "unreachable" });
  }

  /** @param {boolean} isOwn */
  async #read(isOwn) {
    const answer = this.#answer;
    // Also where it was asked for here: another tab may have had the lock before, and have asked.
    await this.#around.refresh();
    if (!isOwn || answer.generation !== "") answer.figures.interrupted = true;
    while (this.isCurrent) {
      const { signal } = this.#controller;
      const place = await this.#around.turns.take({
        signal,
        isSeen: this.#around.isSeen,
        canPause: () => answer.generation !== "",
      });
      const askedAt = Date.now();
      try {
        const outcome = await this.#follow(AbortSignal.any([signal, place.signal]));
        if (outcome.state === "unreachable" && this.#around.isLeaving()) await pause(LEAVING_MS, signal);
        if (outcome.state !== "refused" || outcome.status !== 401) {
          if (this.isCurrent) this.#around.ended(endOf(answer, outcome));
          return;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!place.signal.aborted) throw error;
        // Others are read for a while, or the reader has logged out.
        answer.figures.interrupted = true;
        isOwn = false;
        continue;
      } finally {
        place.give();
      }
      await this.#comeIn({ askedAt, isOwn, signal });
    }
  }

  /**
   * The server wants a key: wait for it.
   *
   * @param {import("./api.js").Visitor} visitor
   */
  async #comeIn(visitor) {
    const { figures, generation } = this.#answer;
    this.#connect("locked");
    await admission(visitor);
    if (generation === "") figures.askedAt = Date.now();
    else figures.interrupted = true;
    this.#connect("open");
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    const answer = this.#answer;
    const { generation, lastEventId } = answer;
    let opened = generation;
    return follow({
      ...(generation === "" ? { body: await this.#around.request() } : { id: generation, lastEventId }),
      signal,
      onRequest: () => {
        if (!this.isCurrent) this.hangUp();
      },
      onOpen: (id) => {
        opened = id;
        if (!this.isCurrent) return this.#stop(id);
        answer.generation = id;
        this.#save();
        this.#around.changed();
      },
      onEvent: (event, eventId) => {
        // Another tab has stopped it while it did not know the id.
        if (!this.isCurrent) return this.#stop(opened);
        this.#connect("open");
        // Another tab, where they cannot agree, was faster, and what it kept of the answer is here already.
        if (Number(eventId) <= Number(answer.lastEventId)) return;
        applyEvent(answer, event);
        answer.lastEventId = eventId;
        this.#saveSoon();
        this.#around.arrived();
      },
      onConnection: (connection) => {
        if (!this.isCurrent) return;
        if (connection === "open") {
          this.#back = setTimeout(() => this.#connect("open"), BACK_AFTER_MS);
        } else {
          answer.figures.interrupted ||= answer.generation !== "";
          this.#connect(connection);
        }
      },
    });
  }

  /** @param {string} generation */
  #stop(generation) {
    this.hangUp();
    if (generation !== "") stopAnswer(generation);
  }

  /** @param {import("./sse.js").ConnectionState} connection */
  #connect(connection) {
    clearTimeout(this.#back);
    if (this.connection === connection) return;
    this.connection = connection;
    this.#around.changed();
  }

  #saveSoon() {
    const left = this.#savedAt + SAVE_EVERY_MS - performance.now();
    // Not by a timer where none is needed: those of a page that is not seen run once a minute.
    if (left <= 0) this.#save();
    else this.#saving ??= setTimeout(() => this.#save(), left);
  }

  #save({ unasked = false } = {}) {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    this.#savedAt = performance.now();
    this.#writes += 1;
    this.#around.save({ unasked }).finally(() => (this.#writes -= 1));
  }
}
