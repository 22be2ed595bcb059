/**
 * Asks for the key that the server wants, for a session that it is exchanged for; and ends that session.
 *
 * All who wait for admission wait together, in all tabs, and go on together. The dialog can be put off: then a notice
 * keeps it at hand, and the next question brings it back. The key goes nowhere but to the server.
 */

import { SESSION, sessionSince } from "../api.js";
import { countDown } from "../countdown.js";
import { isComposing } from "../keys.js";
import { lazily, loadStyles } from "../lazy.js";
import { loadWords } from "../words/access/index.js";
import { words } from "../words/index.js";
import { makeDialog } from "./dialog.js";
import { element, update } from "./element.js";

/** @typedef {import("../api.js").Visitor} Visitor */
/** @typedef {import("../words/access/index.js").AccessWords} AccessWords */

/**
 * @typedef {object} Surroundings
 * @property {HTMLElement} place before which the notice stands
 * @property {HTMLElement} foot of the list, where the button stands that logs out
 * @property {(text: string) => void} say tells those who listen to the page
 * @property {() => void} left called when what had the focus went away
 * @property {() => void} hush called when nothing more of what is read may be shown
 * @property {number} since as `sessionSince()` was when the page began
 */

const ADDRESS = new URL("../../session", import.meta.url);

/** What only those may ask who are let in. */
const INSIDE = new URL("../../models", import.meta.url);

/** How long the server may take, in ms. */
const PATIENCE_MS = 15_000;

/** How long nothing is typed by one who has stopped, in ms: what is meant for the conversation is not to go into the key. */
const TYPING_PAUSE_MS = 800;

const loadTexts = lazily(
  async () => (await Promise.all([loadWords(words.language), loadStyles("dialog.css"), loadStyles("access.css")]))[0],
);

/** @param {Surroundings} around */
export async function openAccess(around) {
  return new AccessView(await loadTexts(), around);
}

class AccessView {
  #texts;
  #around;
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** As in `sessionSince()`, also where nothing can be kept. */
  #since = sessionSince();
  /** Whether the reader wants to be asked later. */
  #isPutOff = false;
  /** Whether the reader has logged out, and was not let in since. */
  #hasLeft = false;
  #isBusy = false;
  /** From when on another key may be tried, in ms since the epoch. */
  #triesFrom = 0;
  #key = element("input", {
    ...{ id: "access-key", type: "password", name: "key", autocomplete: "current-password", dir: "ltr" },
    ...{ spellcheck: false, autocapitalize: "none", maxLength: 512, autofocus: true },
  });
  /** What it is about: a key, or another one than the one that was good until now. */
  #note = element("p");
  #show;
  #wrong = element("p", { id: "access-wrong", role: "alert" });
  #said = element("p", { role: "status" });
  #logIn;
  #dialog;
  #noticeText = element("p");
  #noticeButton;
  #notice;
  #logOut;

  /**
   * @param {AccessWords} texts
   * @param {Surroundings} around
   */
  constructor(texts, around) {
    const { dialog } = texts;
    this.#texts = texts;
    this.#around = around;
    const title = element("h2", { id: "access-title" }, dialog.title);
    this.#dialog = makeDialog("access", title, around.left);
    this.#show = element("input", { type: "checkbox", onchange: () => this.#drawKey() });
    this.#logIn = element("button", { type: "submit", className: "done" }, dialog.logIn);
    this.#dialog.append(this.#form(title));
    this.#draw(dialog.note);
    this.#dialog.addEventListener("close", () => this.#closed());

    this.#noticeButton = element("button", { type: "button", onclick: () => this.#heedNotice() });
    this.#notice = element("div", { id: "access-notice", className: "notice", hidden: true }, this.#noticeText, this.#noticeButton);
    around.place.before(this.#notice);
    this.#logOut = element("button", { type: "button", className: "quiet", onclick: () => this.#leave() }, texts.logOut);
    around.foot.append(this.#logOut);
    update(this.#logOut, { hidden: this.#since === 0 });

    // A notice may be older than what is kept.
    window.addEventListener("storage", ({ key, storageArea }) => {
      if (key === SESSION) this.#heed(storageArea?.getItem(key) ?? null);
    });
    // A page that was left was not told.
    window.addEventListener("pageshow", () => {
      const since = sessionSince();
      if (since > this.#since) this.#heed(String(since));
    });
    // Another tab has left while this was still to be loaded.
    if (around.since > 0 && this.#since === 0) this.#heed(localStorage.getItem(SESSION));
  }

  /** @param {Visitor} visitor */
  async admission({ askedAt, isOwn = false, isRevoked = false, signal }) {
    signal?.throwIfAborted();
    // Somebody came in since, here or in another tab, also where this one has yet to be told. A clock may be set back.
    this.#since = sessionSince() || this.#since;
    if (this.#since > askedAt && this.#since <= Date.now()) return;
    if (isRevoked) this.#draw(this.#texts.dialog.revoked);
    else if (this.#since > 0) this.#draw(this.#texts.dialog.ended);
    if (this.#since > 0) this.#keep(null);
    const admitted = new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      this.#waiting.add(resolve);
      signal?.addEventListener("abort", () => {
        this.#waiting.delete(resolve);
        reject(signal.reason);
      });
    });
    if (isOwn) {
      this.#isPutOff = false;
      this.#ask();
    } else {
      pauseInTyping().then(() => this.#waiting.size > 0 && this.#ask());
    }
    await admitted;
  }

  #ask() {
    if (!this.#isPutOff) this.#open();
    // What the page asks by itself is no news to who has just logged out.
    else if (!this.#hasLeft) this.#tell(this.#texts.notice.waits);
  }

  /** @param {string} note */
  #draw(note) {
    update(this.#note, { textContent: note });
  }

  #open() {
    update(this.#notice, { hidden: true });
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    this.#key.focus();
  }

  #closed() {
    this.#key.value = "";
    update(this.#show, { checked: false });
    this.#drawKey();
    update(this.#said, { textContent: "" });
    if (!this.#isHeldBack) this.#refuse("");
    if (this.#waiting.size === 0) return;
    this.#isPutOff = true;
    this.#tell(this.#texts.notice.waits);
  }

  /** @param {HTMLElement} title */
  #form(title) {
    const { dialog } = this.#texts;
    const form = element(
      "form",
      { noValidate: true },
      title,
      this.#note,
      // Programs that keep passwords ask for one.
      element("input", { type: "text", autocomplete: "username", value: "Burble", hidden: true }),
      element("label", { htmlFor: this.#key.id }, dialog.key),
      this.#key,
      element("label", { className: "show" }, this.#show, dialog.show),
      this.#wrong,
      this.#said,
      element(
        "footer",
        {},
        element("button", { type: "button", onclick: () => this.#dialog.close() }, dialog.later),
        this.#logIn,
      ),
    );
    this.#key.setAttribute("aria-describedby", this.#wrong.id);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    // In Safari, the Enter that ends an input method's composition would submit the form.
    this.#key.addEventListener("keydown", (event) => event.key === "Enter" && isComposing(event) && event.preventDefault());
    return form;
  }

  #drawKey() {
    update(this.#key, { type: this.#show.checked ? "text" : "password" });
  }

  async #submit() {
    const { refusals } = this.#texts;
    const key = this.#key.value.trim();
    if (this.#isBusy || this.#isHeldBack) return;
    if (key === "") return this.#refuse(refusals.missing);
    // No header can carry anything else, so it is none.
    if (!/^[!-~]+$/.test(key)) return this.#refuse(refusals.wrong);
    this.#setBusy(true);
    const response = await request("POST", { Authorization: `Bearer ${key}` });
    // A browser that refuses the cookie has no session.
    const isForgotten = response?.ok && (await request("GET", {}, INSIDE))?.status === 401;
    this.#setBusy(false);
    if (isForgotten) this.#refuse(refusals.forgotten);
    else if (response?.ok) this.#comeIn();
    else if (response?.status === 404) this.#admit();
    else if (!response) this.#refuse(refusals.unreachable);
    else if (response.status === 401) this.#refuse(refusals.wrong);
    else if (response.status === 429) this.#holdBack(1000 * (Number(response.headers.get("Retry-After")) || 60));
    else this.#refuse(refusals.unexpected(response.status));
  }

  /** @param {boolean} isBusy */
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    if (isBusy) this.#refuse("");
    update(this.#said, { textContent: isBusy ? this.#texts.checking : "" });
    update(this.#logIn, { ariaDisabled: String(isBusy) });
  }

  /** @param {string} text why the reader does not come in; "" where nothing is wrong */
  #refuse(text) {
    this.#wrong.replaceChildren(text);
    update(this.#key, { ariaInvalid: String(text !== "") });
    if (text === "" || !this.#dialog.open) return;
    this.#key.focus();
    this.#key.select();
  }

  get #isHeldBack() {
    return Date.now() < this.#triesFrom;
  }

  /** @param {number} ms until the next try */
  #holdBack(ms) {
    const { tooMany, tryAgain } = this.#texts.refusals;
    const until = Date.now() + ms;
    this.#triesFrom = until;
    const text = (/** @type {number} */ now) => tooMany(words.when(until, now));
    const seen = element("span", { ariaHidden: "true" });
    this.#refuse("");
    // Those who listen hear it once.
    this.#wrong.replaceChildren(element("span", { className: "visually-hidden" }, text(Date.now())), seen);
    update(this.#logIn, { ariaDisabled: "true" });
    countDown(until, {
      left: (now) => update(seen, { textContent: text(now) }),
      over: () => {
        update(this.#logIn, { ariaDisabled: "false" });
        this.#wrong.replaceChildren();
        update(this.#said, { textContent: tryAgain });
      },
    });
  }

  #comeIn() {
    this.#keep(Date.now());
    this.#admit();
    this.#around.say(this.#texts.loggedIn);
  }

  #admit() {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#isPutOff = this.#hasLeft = false;
    this.#draw(this.#texts.dialog.note);
    update(this.#notice, { hidden: true });
    this.#dialog.close();
    for (const resolve of waiting) resolve();
  }

  async #leave() {
    const response = await request("DELETE", {});
    // The notice is beside the list.
    this.#logOut.closest("dialog")?.close();
    // Not even that is there where no keys are asked for any more.
    if (!response?.ok && response?.status !== 404) {
      this.#tell(this.#texts.notice.notLoggedOut);
      return;
    }
    this.#keep(0);
    this.#left();
    this.#around.left();
  }

  #left() {
    // What runs goes on at the server; who comes next is not to see it, and who comes back is.
    this.#around.hush();
    this.#isPutOff = this.#hasLeft = true;
    this.#tell(this.#texts.notice.loggedOut);
  }

  /** @param {string} text */
  #tell(text) {
    update(this.#noticeText, { textContent: text });
    update(this.#noticeButton, { textContent: this.#since > 0 ? words.writing.dismiss : this.#texts.dialog.logIn });
    update(this.#notice, { hidden: false });
    this.#around.say(text);
  }

  #heedNotice() {
    update(this.#notice, { hidden: true });
    if (this.#since > 0) this.#around.left();
    else this.#open();
  }

  /**
   * Keep since when there is a session, for all tabs.
   *
   * @param {number | null} since 0 after the reader has left it; null where it has ended otherwise
   */
  #keep(since) {
    this.#since = since ?? 0;
    update(this.#logOut, { hidden: this.#since === 0 });
    try {
      if (since === null) localStorage.removeItem(SESSION);
      else localStorage.setItem(SESSION, String(since));
    } catch (error) {
      // Storage is full, or switched off: then it is for this page only.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  /**
   * Take in what happened in another tab.
   *
   * @param {string | null} value as it is kept
   */
  #heed(value) {
    this.#since = Number(value);
    update(this.#logOut, { hidden: this.#since === 0 });
    if (this.#since > 0) this.#admit();
    else if (value !== null) this.#left();
    else this.#draw(this.#texts.dialog.ended);
  }
}

/**
 * Ask the server for a session, or to end one; null where it cannot be reached.
 *
 * @param {string} method
 * @param {Record<string, string>} headers
 * @param {URL} [address]
 */
async function request(method, headers, address = ADDRESS) {
  try {
    return await fetch(address, { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    // No connection, or no answer in time.
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    return null;
  }
}

/**
 * Wait until nothing is being typed.
 *
 * @returns {Promise<void>}
 */
function pauseInTyping() {
  return new Promise((resolve) => {
    const focused = document.activeElement;
    if (!(focused instanceof HTMLTextAreaElement) || focused.value === "") return resolve();
    const heard = new AbortController();
    const settle = () => {
      heard.abort();
      resolve();
    };
    let timer = setTimeout(settle, TYPING_PAUSE_MS);
    const again = () => {
      clearTimeout(timer);
      timer = setTimeout(settle, TYPING_PAUSE_MS);
    };
    document.addEventListener("input", again, { signal: heard.signal });
  });
}
