/**
 * Footnotes: the marks in the text, numbered in the order of the text, and their section after it.
 *
 * GFM's way, but what nothing refers to is shown as well, after the others: no word gets lost.
 */

import { normalLabel } from "./references.js";

export class Footnotes {
  #root;
  #words;
  /** @type {Map<string, HTMLLIElement>} */
  #items = new Map();
  #list = document.createElement("ol");
  #section = document.createElement("section");
  /** The texts of labels that were defined before. @type {HTMLLIElement[]} */
  #more = [];
  /** @type {WeakSet<Element>} */
  #claimed = new WeakSet();
  /** @type {WeakMap<Element, string>} */
  #labels = new WeakMap();
  #changed = false;

  /**
   * @param {Element} root
   * @param {import("./context.js").Words} words
   */
  constructor(root, words) {
    this.#root = root;
    this.#words = words;
    this.#section.className = "md-footnotes";
    // No landmark of the page's: each answer may have its own.
    this.#section.role = "group";
    this.#section.ariaLabel = words.footnotes;
    this.#section.append(this.#list);
  }

  /** @param {string} label in normal form */
  isDefined(label) {
    return this.#items.has(label);
  }

  /**
   * Returns whether this was its first definition.
   *
   * @param {string} label in normal form
   */
  define(label) {
    if (this.#items.has(label)) return false;
    this.#items.set(label, this.#addItem());
    this.#root.append(this.#section);
    return true;
  }

  /**
   * Where the text of a footnote goes.
   *
   * @param {string} label in normal form
   */
  claim(label) {
    const candidates = [this.#items.get(label), ...this.#more].filter((item) => item !== undefined);
    let item = candidates.find((candidate) => !this.#claimed.has(candidate));
    if (!item) {
      item = this.#addItem();
      this.#more.push(item);
    }
    this.#claimed.add(item);
    return item;
  }

  /** Give back what was claimed. @param {Element} item */
  release(item) {
    this.#claimed.delete(item);
    item.replaceChildren();
  }

  #addItem() {
    const item = document.createElement("li");
    item.tabIndex = -1;
    this.#list.append(item);
    this.#changed = true;
    return item;
  }

  /**
   * Make a mark.
   *
   * @param {string} written
   */
  reference(written) {
    const label = normalLabel(written);
    const mark = document.createElement("sup");
    mark.className = "md-footnote";
    mark.textContent = written;
    this.#labels.set(mark, label);
    this.#changed = true;
    return mark;
  }

  /** Call after drawing: numbers what is new, in the order of the text. */
  draw() {
    if (!this.#changed || this.#items.size === 0) return;
    this.#changed = false;
    /** @type {Set<string>} */
    const order = new Set();
    for (const mark of this.#root.querySelectorAll("sup.md-footnote")) {
      const label = this.#labels.get(mark) ?? "";
      if (!this.#items.has(label)) continue;
      order.add(label);
      this.#number(mark, label, [...order].indexOf(label) + 1);
    }
    const labels = [...order, ...[...this.#items.keys()].filter((label) => !order.has(label))];
    const items = labels.map((label) => /** @type {HTMLLIElement} */ (this.#items.get(label)));
    [...items, ...this.#more].forEach((item, index) => {
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
  }

  /**
   * @param {Element} mark
   * @param {string} label
   * @param {number} number
   */
  #number(mark, label, number) {
    let link = mark.querySelector("a");
    if (!link) {
      link = document.createElement("a");
      link.role = "doc-noteref";
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.#show(label, mark);
      });
      mark.replaceChildren(link);
    }
    if (link.textContent === String(number)) return;
    link.textContent = String(number);
    link.href = `#footnote-${number}`;
  }

  /**
   * @param {string} label
   * @param {Element} mark
   */
  #show(label, mark) {
    const item = this.#items.get(label);
    if (!item) return;
    item.querySelector(":scope > .md-return")?.remove();
    const back = Object.assign(document.createElement("button"), {
      type: "button",
      className: "md-return",
      textContent: "↩",
      ariaLabel: this.#words.backToText,
      onclick: () => {
        back.remove();
        /** @type {HTMLElement | null} */ (mark.firstElementChild)?.focus();
      },
    });
    item.append(back);
    item.focus();
  }
}
