/** One line, and how far it was read. Columns count a tab up to the next multiple of four. */

import { match } from "./scan.js";

export class Line {
  at = 0;
  column = 0;
  /** Whether only a part of the tab at `at` was read. */
  #inTab = false;
  /** Where its next character stands that is neither space nor tab. */
  next = 0;
  /** How many columns stand before that. */
  indent = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.look();
  }

  get blank() {
    return this.next >= this.text.length;
  }

  get rest() {
    return this.text.slice(this.next);
  }

  /** Find the next character. */
  look() {
    let column = this.column;
    let at = this.at;
    for (; ; at += 1) {
      if (this.text[at] === " ") column += 1;
      else if (this.text[at] === "\t") column += 4 - (column % 4);
      else break;
    }
    this.next = at;
    this.indent = column - this.column;
  }

  /** @param {RegExp} pattern a sticky one, tried at the next character */
  match(pattern) {
    return match(pattern, this.text, this.next);
  }

  toNext() {
    this.column += this.indent;
    this.at = this.next;
    this.#inTab = false;
    this.indent = 0;
  }

  /** @param {number} count of characters that are no tabs, from the next character on */
  skip(count) {
    this.toNext();
    this.at += count;
    this.column += count;
    this.look();
  }

  /** @param {number} columns at most so many, of spaces and tabs */
  skipColumns(columns) {
    for (let left = columns; left > 0; ) {
      const character = this.text[this.at];
      if (character !== " " && character !== "\t") break;
      const width = character === " " ? 1 : 4 - (this.column % 4);
      this.#inTab = width > left;
      if (!this.#inTab) this.at += 1;
      this.column += Math.min(width, left);
      left -= width;
    }
    this.look();
  }

  /** All that was not read; the part of a tab that is left becomes spaces. */
  remainder() {
    if (!this.#inTab) return this.text.slice(this.at);
    return " ".repeat(4 - (this.column % 4)) + this.text.slice(this.at + 1);
  }
}
