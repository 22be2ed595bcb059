import { SESSION } from "../js/api.js";
import { openAccess } from "../js/views/access.js";
import { element } from "../js/views/element.js";
import { equal, test } from "./harness.js";

/**
 * @typedef {object} Tab
 * @property {Awaited<ReturnType<typeof openAccess>>} access
 * @property {HTMLElement} logOut
 * @property {HTMLDialogElement} dialog
 * @property {() => number} hushed how often it was told that nothing more may be shown
 */

/**
 * Run a test with the view of a tab for which the server has a session since then.
 *
 * @param {number} since
 * @param {(tab: Tab) => Promise<void>} body
 * @param {number} [kept] what has become of the session when the view is made
 */
async function withAccess(since, body, kept = since) {
  localStorage.setItem(SESSION, String(kept));
  const [place, foot] = [element("div"), element("div")];
  document.body.append(place, foot);
  let times = 0;
  const access = await openAccess({ place, foot, say: () => {}, left: () => {}, hush: () => void (times += 1), since });
  const dialog = /** @type {HTMLDialogElement} */ ([...document.querySelectorAll("dialog.access")].at(-1));
  const logOut = /** @type {HTMLElement} */ (foot.lastElementChild);
  try {
    await body({ access, logOut, dialog, hushed: () => times });
  } finally {
    localStorage.removeItem(SESSION);
    for (const part of [place, foot, dialog]) part.remove();
  }
}

/** A notice of what another tab has kept arrives. @param {string | null} newValue */
function hear(newValue) {
  window.dispatchEvent(new StorageEvent("storage", { key: SESSION, newValue, storageArea: localStorage }));
}

/** Run a test while the reader types. @param {() => Promise<void>} body */
async function typing(body) {
  const field = element("textarea", { value: "half a sen" });
  document.body.append(field);
  field.focus();
  const timer = setInterval(() => field.dispatchEvent(new InputEvent("input", { bubbles: true })), 50);
  try {
    await body();
  } finally {
    clearInterval(timer);
    field.remove();
  }
}

test("what was refused before another tab came in goes on, and leaves the new session, told of it or not", () =>
  withAccess(Date.now() - 60_000, async ({ access, logOut }) => {
    const askedAt = Date.now() - 1000;
    const cameIn = String(Date.now());
    localStorage.setItem(SESSION, cameIn);
    await access.admission({ askedAt });
    equal([localStorage.getItem(SESSION), logOut.hidden], [cameIn, false]);
  }));

test("that somebody has logged out is no news to who has come in since", () =>
  withAccess(Date.now(), async ({ logOut, hushed }) => {
    hear("0");
    equal([hushed(), logOut.hidden], [0, false]);
    localStorage.setItem(SESSION, "0");
    hear("0");
    equal([hushed(), logOut.hidden], [1, true]);
  }));

test("a page that comes back asks for no key where another tab has come in meanwhile", () =>
  withAccess(0, async ({ access, logOut, dialog }) => {
    const waits = access.admission({ askedAt: Date.now() - 1, isOwn: true });
    equal(dialog.open, true);
    // A page that was left is not told.
    localStorage.setItem(SESSION, String(Date.now()));
    window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    await waits;
    equal([dialog.open, logOut.hidden], [false, false]);
  }));

test("a session that seems to begin in the future, after the clock was set, lets nobody in", () =>
  withAccess(Date.now() + 3_600_000, async ({ access, dialog }) => {
    const waits = access.admission({ askedAt: Date.now(), isOwn: true });
    equal([dialog.open, localStorage.getItem(SESSION)], [true, null]);
    localStorage.setItem(SESSION, String(Date.now()));
    hear(localStorage.getItem(SESSION));
    await waits;
    equal(dialog.open, false);
  }));

test("who types is not asked for the key, and what waits goes on at once when another tab comes in", () =>
  withAccess(0, ({ access, dialog }) =>
    typing(async () => {
      const waits = access.admission({ askedAt: Date.now() });
      localStorage.setItem(SESSION, String(Date.now()));
      hear(localStorage.getItem(SESSION));
      await waits;
      equal(dialog.open, false);
    }),
  ));

test("what is given up while the reader types leaves nothing behind", () =>
  withAccess(0, ({ access, dialog }) =>
    typing(async () => {
      /** @type {unknown[]} */
      const unhandled = [];
      const { promise: last, resolve } = Promise.withResolvers();
      const note = (/** @type {PromiseRejectionEvent} */ event) => {
        event.preventDefault();
        if (event.reason === "last") resolve(undefined);
        else unhandled.push(event.reason);
      };
      window.addEventListener("unhandledrejection", note);
      const controller = new AbortController();
      const waits = access.admission({ askedAt: Date.now(), signal: controller.signal });
      controller.abort("given up");
      equal(await waits.catch((reason) => reason), "given up");
      // They come in order.
      Promise.reject("last");
      await last;
      window.removeEventListener("unhandledrejection", note);
      equal([unhandled, dialog.open], [[], false]);
    }),
  ));

test("what another tab has left while this was loading is left here as well", () =>
  withAccess(
    Date.now() - 60_000,
    async ({ logOut, hushed }) => {
      equal([hushed(), logOut.hidden], [1, true]);
    },
    0,
  ));
