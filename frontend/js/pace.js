/**
 * Tells whether events arrive in clumps: nothing for a while, then many at once, again and again.
 *
 * Models write token by token, so it is most likely a proxy that collects before it passes on. A network that stalls
 * brings a clump, too, but flows in between; a model that pauses writes on at its own pace; and what waits where a
 * connection begins (the model's first words, the past of an answer that is resumed) arrives at once by right.
 */

/** A silence in ms; how many events make a clump, and how fast they follow each other; clumps in a row that convict. */
const SILENCE_MS = 500;
const CLUMP_EVENTS = 20;
const CLUMP_MS_PER_EVENT = 2;
const CLUMPS = 4;

export class Pace {
  /** Clumps in a row, over all connections. */
  #clumps = 0;
  /** The first run of events of a connection proves nothing. */
  #isFirst = true;
  /** The open run of events: the times of its first and its last, in ms, and how many they are. */
  #from = 0;
  #to = 0;
  #events = 0;

  /** Whether clumps were seen: once true, it stays. */
  clumpy = false;

  /** A connection begins. */
  begin() {
    this.#judge();
    this.#isFirst = true;
  }

  /** @param {number} now in ms, by any clock that does not jump */
  event(now) {
    if (this.#events > 0 && now - this.#to >= SILENCE_MS) {
      this.#judge();
      this.#isFirst = false;
    }
    if (this.#events === 0) this.#from = now;
    this.#to = now;
    this.#events += 1;
  }

  /** End the run of events, and count it if it was a clump. */
  #judge() {
    const events = this.#events;
    this.#events = 0;
    if (events === 0 || this.#isFirst) return;
    if (this.#to - this.#from > CLUMP_MS_PER_EVENT * events) this.#clumps = 0;
    else if (events >= CLUMP_EVENTS) this.#clumps += 1;
    this.clumpy ||= this.#clumps >= CLUMPS;
  }
}
