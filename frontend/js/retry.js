/** When to try again what has failed: later and later, but at once when that is likely to succeed. */

/**
 * Return how long to wait before the next attempt, in ms: doubling from `base`, at most `cap`, less up to a half, so
 * that clients which lost one server together do not come back together.
 *
 * @param {number} failures attempts that brought nothing, 0 for the first pause
 * @param {{base: number, cap: number}} times
 * @param {number} [random] in [0, 1)
 */
export function backoff(failures, { base, cap }, random = Math.random()) {
  const longest = Math.min(Math.max(cap, base), base * 2 ** failures);
  return longest * (1 - random / 2);
}

/**
 * Wait, but no longer than until the network is back or the reader returns to the page. Rejects when aborted.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const settled = new AbortController();
    const wake = () => {
      settled.abort();
      resolve();
    };
    const timer = setTimeout(wake, ms);
    settled.signal.addEventListener("abort", () => clearTimeout(timer));
    window.addEventListener("online", wake, { signal: settled.signal });
    document.addEventListener("visibilitychange", () => document.hidden || wake(), { signal: settled.signal });
    const abort = () => {
      settled.abort();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { signal: settled.signal });
  });
}
