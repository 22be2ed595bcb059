/**
 * The server's addresses, relative to the page, so that it works under any subpath.
 */

import { lazily } from "./lazy.js";
import { backoff, pause } from "./retry.js";

/** @typedef {typeof import("./sse.js").followAnswer} FollowAnswer */

const CHAT = new URL("../chat", import.meta.url);

const FOLDER = new URL("..", import.meta.url).href;

/**
 * Where the page is at home. While the server cannot be reached, `service_worker.js` shows a copy of it in a folder
 * below, where there is no API; what belongs to the page belongs to the copy, too.
 */
export const HOME = new URL(FOLDER.replace(/offline\/[0-9a-f]{40}\/$/, ""));

export const isCopy = HOME.href !== FOLDER;

/**
 * Where is kept, for all tabs, since when the server knows this browser, in ms since the epoch: a page cannot see its own
 * cookie. "0" once the reader has logged out. Never a key.
 */
export const SESSION = `burble session ${HOME.pathname}`;

/** Since when the server knows this browser, as far as the page does; 0 where it does not. */
export function sessionSince() {
  try {
    return Number(localStorage.getItem(SESSION));
  } catch (error) {
    // Storage is switched off.
    if (!(error instanceof DOMException)) throw error;
    return 0;
  }
}

/** Load what reads answers. An empty page does not need it. */
export const loadReader = lazily(() => import("./sse.js"));

/**
 * Somebody who wants to be let in.
 *
 * @typedef {object} Visitor
 * @property {number} askedAt when was asked what the server has refused, in ms since the epoch
 * @property {boolean} [isOwn] whether the reader did it just now
 * @property {boolean} [isRevoked] whether the server has said that the key is not valid any more
 * @property {AbortSignal} [signal]
 */

/** @type {(visitor: Visitor) => Promise<void>} */
let letIn = () => new Promise(() => {});

/**
 * Say how the reader is asked for the key that the server wants.
 *
 * @param {typeof letIn} ask resolves when the server is worth asking again; rejects when it is aborted
 */
export function whenLocked(ask) {
  letIn = ask;
}

/**
 * Wait until the server lets this page in, after it has answered 401: the reader is asked for the key.
 *
 * @param {Visitor} visitor
 */
export function admission(visitor) {
  return letIn(visitor);
}

/** How often a stop is tried while the server cannot be reached; the last pauses are 15 s long. */
const STOP_ATTEMPTS = 8;

/**
 * Start an answer, or go on with one; see `followAnswer`. A copy of the page waits, and asks nothing: the page does that
 * when it is home again.
 *
 * @param {Omit<Parameters<FollowAnswer>[0], "url">} options
 */
export async function answer(options) {
  if (isCopy) {
    options.onConnection?.(navigator.onLine ? "reconnecting" : "offline", 0);
    await aborted(options.signal);
  }
  const { followAnswer } = await loadReader();
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
    const askedAt = Date.now();
    try {
      // keepalive: the request outlives the page.
      const response = await fetch(`${CHAT}/${encodeURIComponent(id)}`, { method: "DELETE", keepalive: true });
      if (response.status < 500 && response.status !== 401) return;
      if (response.status === 401) await admission({ askedAt, isOwn: true });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await pause(backoff(failures, { base: 500, cap: 15_000 }));
  }
}
