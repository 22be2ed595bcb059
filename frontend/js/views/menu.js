/**
 * The menu of a button (the menu button pattern of the ARIA Authoring Practices): arrow keys walk, a letter goes to what
 * begins with it, Esc and Tab close it, and so does a press beside it. The focus comes back to the button.
 */

import { isComposing } from "../keys.js";
import { element, update } from "./element.js";

/** How far it stays from the edges of the window, and from its button, in px. */
const ROOM = { edge: 8, button: 4 };

/**
 * `act` finds the focus on the menu's button. Of entries that say whether they are `checked`, one is chosen.
 *
 * @typedef {{name: string, note?: string, checked?: boolean, className?: string, act: () => void}} Entry
 */

export class Menu {
  /** To be put where nothing cuts it off, and where it is not inert. */
  root = element("div", { className: "menu", role: "menu", hidden: true });
  /** @type {HTMLElement | null} */
  #button = null;
  #closed;
  #side;

  /**
   * @param {() => void} closed called whenever it was closed
   * @param {"start" | "end"} [side] of its button, where it opens
   */
  constructor(closed, side = "end") {
    this.#closed = closed;
    this.#side = side;
    this.root.addEventListener("keydown", (event) => this.#pressed(event));
    // Where its button moves it goes. An answer that grows scrolls its own text, and no button of a menu.
    window.addEventListener("scroll", ({ target }) => /** @type {Node} */ (target).contains(this.#button) && this.close(), { capture: true });
    window.addEventListener("resize", () => this.close());
    document.addEventListener("pointerdown", ({ target }) => {
      const at = /** @type {Node} */ (target);
      if (!this.root.contains(at) && !this.#button?.contains(at)) this.close();
    });
    this.root.addEventListener("focusout", ({ relatedTarget }) => {
      // To another window, it would be null.
      if (relatedTarget instanceof Node && !this.root.contains(relatedTarget)) this.close();
    });
  }

  get isOpen() {
    return this.#button !== null;
  }

  /**
   * Open it at its button, or close it if it is open there.
   *
   * @param {HTMLElement} button
   * @param {string} label
   * @param {Entry[]} entries
   */
  toggle(button, label, entries) {
    const wasHere = this.#button === button;
    this.close();
    if (wasHere) return;
    this.#button = button;
    const items = entries.map((entry) => this.#item(entry));
    this.root.replaceChildren(...items);
    this.root.ariaLabel = label;
    this.root.hidden = false;
    button.ariaExpanded = "true";
    this.#place(button);
    const first = items.find(({ ariaChecked }) => ariaChecked === "true") ?? items[0];
    first?.focus({ preventScroll: true });
  }

  close() {
    if (!this.#button) return;
    this.#button.ariaExpanded = "false";
    this.#button = null;
    update(this.root, { hidden: true });
    this.#closed();
  }

  /** @param {Entry} entry */
  #item({ name, note, checked, className = "", act }) {
    const onclick = () => {
      this.#leave();
      act();
    };
    const role = checked === undefined ? "menuitem" : "menuitemradio";
    const item = element("button", { type: "button", role, tabIndex: -1, className, onclick }, element("bdi", {}, name));
    if (checked !== undefined) item.ariaChecked = String(checked);
    if (note) item.append(element("small", {}, note));
    return item;
  }

  /** Close it, and give the focus back. */
  #leave() {
    const button = this.#button;
    // Before it is hidden: else the focus would be nowhere in between.
    button?.focus({ preventScroll: true });
    this.close();
  }

  /** @param {HTMLElement} button */
  #place(button) {
    const { top, bottom, left, right } = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight, style } = this.root;
    const { clientWidth, clientHeight } = document.documentElement;
    const isRightToLeft = getComputedStyle(button).direction === "rtl";
    const beside = isRightToLeft === (this.#side === "end") ? left : right - offsetWidth;
    const below = bottom + ROOM.button;
    const fits = below + offsetHeight + ROOM.edge <= clientHeight;
    const within = (/** @type {number} */ at, /** @type {number} */ most) =>
      `${Math.max(ROOM.edge, Math.min(at, most - ROOM.edge))}px`;
    style.left = within(beside, clientWidth - offsetWidth);
    style.top = within(fits ? below : top - ROOM.button - offsetHeight, clientHeight - offsetHeight);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const { key } = event;
    if (isComposing(event)) return;
    // The browser goes on from the button.
    if (key === "Tab") return this.#leave();
    const items = /** @type {HTMLElement[]} */ ([...this.root.children]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[key];
    if (key === "Escape") this.#leave();
    else if (next !== undefined) items.at(next % items.length)?.focus();
    else if (!letterOf(event) || !this.#goTo(key, [...items.slice(at + 1), ...items.slice(0, at + 1)])) return;
    event.preventDefault();
  }

  /**
   * @param {string} letter
   * @param {HTMLElement[]} items
   */
  #goTo(letter, items) {
    const found = items.find(({ textContent }) => textContent.toLowerCase().startsWith(letter.toLowerCase()));
    found?.focus();
    return found !== undefined;
  }
}

/** @param {KeyboardEvent} event */
function letterOf({ key, ctrlKey, metaKey, altKey }) {
  return key.length === 1 && key !== " " && !ctrlKey && !metaKey && !altKey;
}
