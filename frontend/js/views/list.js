/** Where the list of conversations stands: beside the chat where there is room, else in a drawer over it. */

import { words } from "../words/index.js";
import { closeBeside } from "./dialog.js";
import { element, update } from "./element.js";
import { ListItems } from "./list_items.js";

/**
 * @typedef {import("../chats.js").Chats} Chats
 *
 * @typedef {object} Options
 * @property {HTMLElement} button whoever presses it wants to `toggle()`
 * @property {(text: string) => void} say tells those who listen to the page
 * @property {(id: string) => void} exportOne called when the reader wants to export a conversation
 */

/** As in the style sheets. Made once: each new query has the browser bring all styles up to date. */
const wide = matchMedia("(width >= 64rem)");

const { dataset } = document.documentElement;

export class ListView {
  #root;
  #button;
  #home;
  #items;
  #drawer = element("dialog", { className: "drawer" });

  /**
   * @param {HTMLElement} root
   * @param {Chats} chats
   * @param {Options} options
   */
  constructor(root, chats, options) {
    this.#root = root;
    this.#button = options.button;
    this.#items = new ListItems(root, chats, options);
    this.#home = /** @type {Element} */ (root.previousElementSibling);
    this.#drawer.ariaLabel = words.page.conversations;
    document.body.append(this.#drawer);
    wide.addEventListener("change", () => this.#place());
    this.#place();
    this.#listen();
  }

  /** Cheap when nothing changed. */
  draw() {
    this.#items.draw();
  }

  /** Show the list, or hide it. */
  toggle() {
    if (wide.matches) this.#keep(dataset.list === "hidden" ? "beside" : "hidden");
    else if (this.#drawer.open) this.#drawer.close();
    else this.#drawer.showModal();
    this.#drawButton();
  }

  /** Show the list, if it is not there. */
  show() {
    if (wide.matches ? dataset.list === "hidden" : !this.#drawer.open) this.toggle();
  }

  #listen() {
    this.#root.querySelector(".close")?.addEventListener("click", () => this.#drawer.close());
    closeBeside(this.#drawer);
    this.#drawer.addEventListener("click", (event) => leadsAway(event) && this.#drawer.close());
    this.#drawer.addEventListener("close", () => this.#drawButton());
  }

  /** @param {"beside" | "hidden"} choice */
  #keep(choice) {
    dataset.list = choice;
    try {
      if (dataset.listKey) localStorage.setItem(dataset.listKey, choice);
    } catch (error) {
      // Storage is full, or switched off: then it is for this page only.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  #place() {
    this.#drawer.close();
    const isThere = this.#root.previousElementSibling === this.#home;
    if (!wide.matches) this.#drawer.append(this.#root);
    // What is moved loses the focus.
    else if (!isThere) this.#home.after(this.#root);
    this.#drawButton();
  }

  #drawButton() {
    const isShown = wide.matches ? dataset.list !== "hidden" : this.#drawer.open;
    update(this.#button, { ariaExpanded: String(isShown) });
  }
}

/**
 * Whether a click follows a link, in this tab.
 *
 * @param {MouseEvent} event
 */
function leadsAway({ target, button, ctrlKey, metaKey, shiftKey, altKey }) {
  const isPlain = button === 0 && !ctrlKey && !metaKey && !shiftKey && !altKey;
  return isPlain && target instanceof Element && target.closest("a") !== null;
}
