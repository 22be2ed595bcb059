/**
 * Shows a copy of the page while its server cannot be reached, and does nothing else.
 *
 * An old page must never meet a new API. So no page that the network has is ever answered from here:
 *
 *     HOME                     from the network; where that fails, a redirect to the newest copy
 *     HOME offline/VERSION/…   from the copy of that version, which `js/offline.js` has made: never from the network,
 *                              and never from another version; what is not in it is an error
 *     all else                 as if there were no service worker
 *
 * The API's addresses are relative to the page, so a copy asks for them below itself, where there is none. Its policy
 * forbids it all others.
 */

// TypeScript's types of a page do not have those of a service worker.
const worker = /** @type {EventTarget & {registration: ServiceWorkerRegistration, skipWaiting: () => Promise<void>}} */ (
  /** @type {unknown} */ (self)
);

const HOME = worker.registration.scope;
const COPIES = `${HOME}offline/`;

/** What the copies are called in the browser's caches, which all pages of a host share; see `js/offline.js`. */
const PREFIX = `burble ${new URL(HOME).pathname} `;
/** The list of a copy's files, which is the last that is put into it: without it, the copy is not whole. */
const LIST = `${HOME}files.json`;

/** What proxies answer for a server that they cannot reach. */
const UNREACHABLE = [502, 503, 504];

/** So long after the network has failed a copy is shown without trying again, and so long a try may last, in ms. */
const FAILED_FOR_MS = 5000;
const PATIENCE_MS = 3000;

let failedAt = -Infinity;

// A new version of this need not wait for the last page to go: pages do not depend on it.
worker.addEventListener("install", () => worker.skipWaiting());

worker.addEventListener("fetch", (/** @type {any} */ event) => {
  const answer = answerTo(event.request);
  if (answer) event.respondWith(answer);
});

/**
 * @param {Request} request
 * @returns {Promise<Response> | null} null for what is none of this one's business
 */
function answerTo(request) {
  const [address = ""] = request.url.split(/[?#]/);
  const isNavigation = request.mode === "navigate";
  if (address === HOME) return isNavigation ? home(request) : null;
  return address.startsWith(COPIES) ? copied(request, address.slice(COPIES.length), isNavigation) : null;
}

/** @param {Request} request */
async function home(request) {
  const response = await orNull(fetch(request));
  const isThere = response !== null && !UNREACHABLE.includes(response.status);
  failedAt = isThere ? -Infinity : performance.now();
  if (isThere) return response;
  return (await toNewest(request)) ?? response ?? Response.error();
}

/**
 * @param {Request} request
 * @param {string} path below `COPIES`: a version, and the path of a file
 * @param {boolean} isNavigation
 */
async function copied(request, path, isNavigation) {
  if (isNavigation && (await isBack())) return redirect(HOME, request);
  const [, version = "", file = ""] = /^([0-9a-f]+)\/(.*)$/.exec(path) ?? [];
  const isFile = request.method === "GET" && file !== "files.json";
  const found = isFile ? await caches.match(HOME + file, { cacheName: PREFIX + version, ignoreVary: true }) : undefined;
  // It may be of a version that is no longer kept.
  if (!found) return (isNavigation && (await toNewest(request))) || Response.error();
  // Made anew: this one has the address that it was fetched from, and a module's imports would be relative to that.
  const response = new Response(found.body, found);
  // A copy may ask for its own files, and whether the server is back.
  if (file === "") response.headers.append("Content-Security-Policy", `connect-src ${COPIES}${version}/ ${LIST}`);
  return response;
}

/** Whether the server can be reached again, as far as is known. */
async function isBack() {
  if (performance.now() < failedAt + FAILED_FOR_MS) return false;
  const response = await orNull(fetch(LIST, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) }));
  // A hotel's network answers everything, with a page of its own.
  return response !== null && response.ok && (response.headers.get("Content-Type") ?? "").startsWith("application/json");
}

/**
 * @param {Request} request
 * @returns {Promise<Response | null>} null where there is no copy
 */
async function toNewest(request) {
  for (const name of (await caches.keys()).reverse()) {
    if (!name.startsWith(PREFIX) || !(await caches.match(LIST, { cacheName: name, ignoreVary: true }))) continue;
    return redirect(`${COPIES}${name.slice(PREFIX.length)}/`, request);
  }
  return null;
}

/**
 * @param {string} address
 * @param {Request} request
 */
function redirect(address, request) {
  return Response.redirect(address + new URL(request.url).hash);
}

/** @param {Promise<Response>} asked */
async function orNull(asked) {
  try {
    return await asked;
  } catch (error) {
    // There is no network, or it took too long.
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    return null;
  }
}
