/**
 * The server's addresses, relative to the page, so that it works under any subpath.
 */

import { backoff, pause } from "./retry.js";
import { followAnswer } from "./sse.js";

const CHAT = new URL("../chat", import.meta.url);

/** How often a stop is tried while the server cannot be reached; the last pauses are 15 s long. */
const STOP_ATTEMPTS = 8;

/**
 * Start an answer, or go on with one; see `followAnswer`.
 *
 * @param {Omit<Parameters<typeof followAnswer>[0], "url">} options
 */
export function answer(options) {
  return followAnswer({ url: CHAT, ...options });
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
