/**
 * The page without its server: a copy of it is kept in the browser, which `service_worker.js` shows while the server
 * cannot be reached.
 *
 * A copy is all files of one version, each with the hash that the server's list gives: never a mixture, whatever is
 * deployed meanwhile. Each version has a cache of its own, which is whole when it has the list.
 *
 * All that a reader has is in the database, so a copy shows the same as the page; see `HOME` in `api.js`.
 */

import { HOME } from "./api.js";
import { backoff, pause } from "./retry.js";
import { element } from "./views/element.js";
import { words } from "./words/index.js";

const LIST = new URL("files.json", HOME);

/** Caches, as the database, belong to all pages of a host. */
const PREFIX = `burble ${HOME.pathname} `;

/** When to look whether the server is back, in ms. */
const TIMES = { base: 1000, cap: 30_000 };

/** Keep a copy of the newest version, where the browser can do that: not by plain http, not in every private mode. */
export async function keepCopy() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register(scriptAddress(), { updateViaCache: "none" });
    await navigator.serviceWorker.ready;
    // One tab at a time.
    await navigator.locks.request(PREFIX, copy);
  } catch (error) {
    // A failed request, no room, not allowed …: then there is no newer copy. The next visit tries again.
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
  }
}

/**
 * The address of the service worker, as a policy of Trusted Types hands it out where there are such: the page's own
 * policy allows this one by its name, and there is nothing else that it makes trusted.
 *
 * @returns {string}
 */
function scriptAddress() {
  const address = new URL("service_worker.js", HOME).href;
  const { trustedTypes } = /** @type {any} */ (window);
  return trustedTypes?.createPolicy("service-worker", { createScriptURL: () => address }).createScriptURL("") ?? address;
}

async function copy() {
  const response = await fetch(LIST, { cache: "no-cache" });
  if (!isList(response)) return;
  const { version, files } = await response.clone().json();
  const name = PREFIX + version;
  const cache = await caches.open(name);
  if (!(await cache.match(LIST))) {
    const requests = Object.entries(files).map(
      ([path, integrity]) => new Request(new URL(path, HOME), { cache: "no-cache", integrity }),
    );
    try {
      await cache.addAll(requests);
      await cache.put(LIST, response);
    } catch (error) {
      await caches.delete(name);
      throw error;
    }
  }
  for (const other of await caches.keys()) {
    if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
  }
}

/**
 * In a copy: say that it is one, and go home as soon as the server is back.
 *
 * @param {HTMLElement} next what stands after that
 * @param {(text: string) => void} say
 */
export async function waitForServer(next, say) {
  next.before(element("p", { id: "offline", className: "notice" }, words.offline));
  say(words.offline);
  for (let failures = 0; ; failures += 1) {
    await pause(backoff(failures, TIMES));
    if (await isBack()) break;
  }
  location.replace(HOME.href + location.hash);
}

async function isBack() {
  try {
    return isList(await fetch(LIST, { cache: "no-store" }));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return false;
  }
}

/**
 * A hotel's network answers everything, with a page of its own.
 *
 * @param {Response} response
 */
function isList(response) {
  return response.ok && (response.headers.get("Content-Type") ?? "").startsWith("application/json");
}
