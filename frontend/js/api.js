/**
 * The server's addresses, relative to the page, so that it works under any subpath.
 */

import { backoff, pause } from "./retry.js";
import { followAnswer } from "./sse.js";

const CHAT = new URL("../chat", import.meta.url);

const FOLDER = new URL("..", import.meta.url).href;

/**
 * Where the page is at home. While the server cannot be reached, `service_worker.js` shows a copy of it in a folder
 * below, where there is no API; what belongs to the page belongs to the copy, too.
 */
export const HOME = new URL(FOLDER.replace(/offline\/[0-9a-f]{40}\/$/, ""));

export const isCopy = HOME.href !== FOLDER;

/** How often a stop is tried while the server cannot be reached; the last pauses are 15 s long. */
const STOP_ATTEMPTS = 8;

/**
 * Start an answer, or go on with one; see `followAnswer`. A copy of the page waits, and asks nothing: the page does that
 * when it is home again.
 *
 * @param {Omit<Parameters<typeof followAnswer>[0], "url">} options
 */
export async function answer(options) {
  if (isCopy) {
    options.onConnection?.(navigator.onLine ? "reconnecting" : "offline", 0);
    await aborted(options.signal);
  }
  return followAnswer({ url: CHAT, ...options });
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<never>} rejects with the signal's reason
 */
function aborted(signal) {
  return new Promise((_, reject) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/**
 * Stop an answer, whoever reads it. Tries again while the server cannot be reached, then leaves it to the server, which
 * stops by itself what nobody reads.
 *
 * @param {string} id
 */
export async function stopAnswer(id) {
  for (let failures = 0; failures < STOP_ATTEMPTS; failures += 1) {
    try {
      // keepalive: the request outlives the page.
      const response = await fetch(`${CHAT}/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true });
      if (response.status < 500) return;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await pause(backoff(failures, { base: 500, cap: 15_000 }));
  }
}
