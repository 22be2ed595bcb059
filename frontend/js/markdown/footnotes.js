/**
 * Footnotes: the marks in the text, numbered in the order of the text, and their section after it.
 *
 * GFM's way, but what nothing refers to is shown as well, after the others: no word gets lost.
 */

import { normalLabel } from "./references.js";
import { keepSelection } from "./selection.js";

const MARKS = "sup.md-footnote";

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
  /** How much must have been written before they are numbered once more. */
  #nextDraw = 0;

  /**
   * @param {Element} root
   * @param {import("./words.js").Words} words
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
    if (!this.#section.parentNode) this.#root.append(this.#section);
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
    return /** @type {HTMLElement} */ (item.firstElementChild);
  }

  /** Give back what was claimed. @param {Element} text */
  release(text) {
    this.#claimed.delete(/** @type {Element} */ (text.parentElement));
    text.replaceChildren();
  }

  #addItem() {
    const item = document.createElement("li");
    item.tabIndex = -1;
    // Apart from the way back, which would else stand in the middle of a text that goes on.
    item.append(document.createElement("div"));
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
    // Else each number would have the browser look for the direction of the text around it anew.
    mark.dir = "ltr";
    mark.textContent = written;
    this.#labels.set(mark, label);
    this.#changed = true;
    return mark;
  }

  /**
   * Call after drawing: numbers what is new, in the order of the text. The more footnotes there are, the more must have
   * been written since the last time, so that all of it together costs little beside the text.
   *
   * @param {number} written how many characters of the text so far
   */
  draw(written) {
    if (!this.#changed || this.#items.size === 0 || written < this.#nextDraw) return;
    this.#changed = false;
    const numbers = this.#numbers();
    const marks = this.#root.querySelectorAll(MARKS);
    for (const mark of marks) {
      const label = this.#labels.get(mark) ?? "";
      const number = numbers.get(label);
      if (number) this.#number(mark, label, number);
    }
    this.#nextDraw = written + marks.length + this.#items.size;
    const items = [...numbers.keys()].map((label) => /** @type {HTMLLIElement} */ (this.#items.get(label)));
    arrange(this.#list, [...items, ...this.#more]);
  }

  /**
   * The number of each label, in their order: that of the text, then that of the footnotes' own texts, in which others may
   * be referred to. Where the section has them now is of no account.
   */
  #numbers() {
    /** @type {Map<string, number>} */
    const numbers = new Map();
    /** @type {string[]} */
    const order = [];
    const add = (/** @type {string} */ label) => {
      if (numbers.has(label) || !this.#items.has(label)) return;
      numbers.set(label, order.push(label));
    };
    const read = (/** @type {Iterable<Element>} */ marks) => {
      for (const mark of marks) add(this.#labels.get(mark) ?? "");
    };
    read(this.#root.querySelectorAll(`.md-group ${MARKS}`));
    let done = 0;
    for (const label of this.#items.keys()) {
      for (; done < order.length; done += 1) read(this.#items.get(order[done] ?? "")?.querySelectorAll(MARKS) ?? []);
      add(label);
    }
    return numbers;
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

/**
 * Put the items in order. One with the focus or a selection in it, which it would lose, stays where it is: the others move.
 *
 * @param {Element} list
 * @param {Element[]} items all that are in it
 */
function arrange(list, items) {
  let place = list.firstElementChild;
  /** @param {Element} item */
  const isThere = (item) => item === place && ((place = item.nextElementSibling), true);
  const first = items.findIndex((item) => !isThere(item));
  if (first < 0) return;
  const { activeElement } = document;
  const anchor = document.getSelection()?.anchorNode ?? null;
  const used = items.find((item) => item.contains(activeElement)) ?? items.find((item) => item.contains(anchor));
  keepSelection(() => {
    for (const item of items.slice(first)) {
      for (let next; item === used && place && place !== item; place = next) {
        next = place.nextElementSibling;
        list.append(place);
      }
      if (!isThere(item)) list.insertBefore(item, place);
    }
  });
}
