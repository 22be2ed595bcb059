/**
 * A block of code while it grows: plain text in groups of lines, whose language is named, and which can be copied and
 * wrapped. Colours are painted over it (`highlight.js`), so that a line is a line and not a hundred elements.
 */

import { copyButton } from "./copy_button.js";
import { unescapeText } from "./entities.js";
import { createHighlighter } from "./highlight.js";
import { lengthOf, visibleText } from "./invisible.js";
import { beforeBlankLines } from "./scan.js";
import { scrollIfWide } from "./scroller.js";

/** A browser lays out one block of text anew when it grows: with so many lines each that costs little. */
const LINES = 32;

export class CodeView {
  element = document.createElement("figure");
  #pre = document.createElement("pre");
  #code = document.createElement("code");
  #highlighter;
  /** @type {HTMLElement | null} */
  #group = null;
  #lines = 0;
  /** How much of the last line is drawn, while it is not complete. */
  #unfinished = "";

  /**
   * @param {import("./context.js").RenderContext} context
   * @param {import("./block.js").Block} block
   * @param {string} key
   */
  constructor(context, block, key) {
    this.key = key;
    const { words } = context;
    const language = unescapeText(block.label).split(/\s/, 1)[0] ?? "";
    this.#highlighter = createHighlighter(language);
    const head = document.createElement("figcaption");
    if (language !== "") {
      const name = Object.assign(document.createElement("span"), { className: "md-language", textContent: language });
      head.append(name);
    }
    head.append(this.#wrapButton(words), copyButton(words, words.copy, this.#code, sourceOf));
    this.#pre.dir = "ltr";
    this.#pre.append(this.#code);
    scrollIfWide(this.#code);
    this.element.className = "md-code";
    this.element.append(head, this.#pre);
  }

  get end() {
    return this.#code.lastElementChild;
  }

  /** Take the complete lines. @param {import("./block.js").Block} block */
  settle(block) {
    // Blank lines at the end of indented code are no part of it.
    const end = block.isFence ? block.text.length : beforeBlankLines(block.text).end;
    if (end > 0) this.#append(block.text.slice(0, end));
    block.text = block.text.slice(end);
  }

  /** @param {import("./block.js").Block} block */
  finish(block) {
    this.settle(block);
    if (this.#unfinished !== "") this.#dropUnfinished();
    this.#paint();
  }

  /** Show what is not complete as well. @param {import("./block.js").Block} block */
  draw(block) {
    const text = block.text.replace(/\n$/, "");
    if (!text.startsWith(this.#unfinished)) this.#dropUnfinished();
    const more = text.slice(this.#unfinished.length);
    if (more !== "") this.#add(more);
    this.#unfinished = text;
    this.#paint();
  }

  /** @param {string} text complete lines */
  #append(text) {
    // Blank lines before the unfinished one are not counted yet.
    if (!text.startsWith(this.#unfinished) || this.#unfinished.includes("\n")) this.#dropUnfinished();
    const from = this.#unfinished.length;
    this.#unfinished = "";
    for (let at = from; at < text.length; ) {
      let end = at;
      let lines = this.#lines;
      while (end < text.length && lines < LINES) {
        end = text.indexOf("\n", end) + 1;
        lines += 1;
      }
      this.#add(text.slice(at, end));
      this.#lines = lines;
      at = end;
      if (lines === LINES) this.#closeGroup();
    }
  }

  /** @param {string} text */
  #add(text) {
    if (!this.#group) {
      this.#group = document.createElement("span");
      this.#group.className = "md-lines";
      this.#code.append(this.#group);
    }
    const last = this.#group.lastChild;
    const [first, ...rest] = visibleText(text, last instanceof Text ? last.data : "");
    if (first instanceof Text && last instanceof Text) last.appendData(first.data);
    else if (first) this.#group.append(first);
    this.#group.append(...rest);
  }

  #closeGroup() {
    this.#paint();
    this.#group = null;
    this.#lines = 0;
  }

  #paint() {
    if (!this.#highlighter || !this.#group) return;
    for (const node of this.#group.childNodes) if (node instanceof Text) this.#highlighter.grow(this.#group, node);
  }

  /** What was drawn of the last line was no line of this code. */
  #dropUnfinished() {
    let length = this.#unfinished.length;
    this.#unfinished = "";
    while (length > 0 && this.#group?.lastChild) {
      const last = this.#group.lastChild;
      if (last instanceof Text && last.length > length) {
        last.deleteData(last.length - length, length);
        return;
      }
      length -= lengthOf(last);
      last.remove();
    }
    if (this.#group?.childNodes.length === 0) {
      this.#group.remove();
      this.#group = null;
    }
  }

  /** @param {import("./words.js").Words} words */
  #wrapButton(words) {
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      textContent: words.wrap,
      ariaPressed: "false",
      onclick: () => {
        button.ariaPressed = String(this.element.classList.toggle("md-wrapped"));
      },
    });
    return button;
  }
}

/**
 * The code as it is copied: without the characters that nobody sees, and without the last line's end, with which a
 * command would run as soon as it is pasted.
 *
 * @param {Element} code
 */
function sourceOf(code) {
  const copy = /** @type {Element} */ (code.cloneNode(true));
  for (const mark of copy.querySelectorAll(".md-invisible")) mark.remove();
  return (copy.textContent ?? "").replace(/\n$/, "");
}
