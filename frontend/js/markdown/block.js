/** A block of the text, which may hold others: what `blocks.js` makes of lines and `block_views.js` draws. */

/**
 * @typedef {"document" | "quote" | "list" | "item" | "footnote" | "paragraph" | "heading" | "code" | "html" | "rule"
 *   | "table" | "row" | "maths" | "nothing"} Kind `nothing` has no look of its own: a paragraph of definitions only
 */

export class Block {
  /** @type {Block[]} */ children = [];
  open = true;
  endLine = 0;
  /** The source of a leaf; of code what has not been taken from it yet. */ text = "";
  /** Of a heading: 1 to 6. */ level = 0;
  /** Of a list: its bullet, or the mark after its numbers. Of a fence: its marks. Of html: which kind (1 to 7). */
  marker = "";
  /** Of an ordered list: its first number; else null. @type {number | null} */ start = null;
  /** Of a list: whether blank lines stand between its blocks. */ loose = false;
  /** Of an item: how many columns its text is indented by. Of a fence: its own indentation. */ indent = 0;
  /** Of an item's first paragraph: its checkbox, checked or not. @type {boolean | null} */ task = null;
  /** The first word after a fence. A footnote's label. */ label = "";
  /** Of a table: each column's alignment. @type {("left" | "center" | "right" | null)[]} */ columns = [];
  /** Of maths: what ends it. */ closing = "";
  /** Of code and maths: whether it ended with its own marks. */ complete = false;

  /**
   * @param {Kind} kind
   * @param {number} startLine
   */
  constructor(kind, startLine) {
    this.kind = kind;
    this.startLine = startLine;
  }

  get isContainer() {
    return ["document", "quote", "list", "item", "footnote"].includes(this.kind);
  }

  get isFence() {
    return this.kind === "code" && this.marker !== "";
  }
}
