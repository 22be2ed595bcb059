/** Waits until a moment, and tells what is left. */

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;

/** With more than this left, in ms, nobody counts seconds; see `when` in `words/`. */
const LONG_MS = 100 * SECOND_MS;

/**
 * Count down; an abort of `signal` ends it. A timer of a page that is not seen, or of a machine that sleeps, is late: so
 * the clock is asked each time.
 *
 * @param {number} until ms since the epoch
 * @param {object} told
 * @param {(now: number) => void} told.left called at once and then each second, or each minute where that is long
 * @param {(lateMs: number) => void} told.over called once, when the moment has come
 * @param {AbortSignal} [told.signal]
 */
export function countDown(until, { left, over, signal }) {
  let timer = 0;
  const ended = new AbortController();
  const end = () => {
    clearTimeout(timer);
    ended.abort();
  };
  const tick = () => {
    clearTimeout(timer);
    if (ended.signal.aborted) return;
    const now = Date.now();
    const ms = until - now;
    if (ms <= 0) {
      end();
      over(-ms);
      return;
    }
    left(now);
    if (ended.signal.aborted) return;
    const step = ms > LONG_MS ? MINUTE_MS : SECOND_MS;
    timer = setTimeout(tick, ms % step || step);
  };
  document.addEventListener("visibilitychange", tick, { signal: ended.signal });
  signal?.addEventListener("abort", end);
  tick();
}
