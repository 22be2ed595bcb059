/**
 * The block structure of Markdown, line by line.
 *
 * Follows the algorithm of CommonMark 0.31.2's appendix ("phase 1: block structure") with GFM's tables and task lists,
 * footnotes and formulas. A complete line changes the tree for good and costs as much as the line is long. The
 * unfinished last line is tried: what it changed is undone when more of it has arrived.
 */

import { Block } from "./block.js";
import { endsFormula, formulaBlock } from "./formulas.js";
import { TAG } from "./inlines.js";
import { Line } from "./line.js";
import { normalLabel, scanDefinition } from "./references.js";
import { beforeBlankLines, endBefore } from "./scan.js";
import { MAX_COLUMNS, alignment, cells } from "./table_rows.js";

/** How deep blocks may nest: each level is an element within an element, which browsers do not bear in thousands. */
const MAX_DEPTH = 64;

/** From this length on a paragraph that may begin with a definition is not looked at line by line, but at its end. */
const MAX_PENDING_DEFINITION = 4000;

const MAY_START = /[#`~*+_=<>0-9|:$\\[-]/;
const HEADING = /#{1,6}(?=[ \t]|$)/y;
const FENCE = /`{3,}(?=[^`]*$)|~{3,}/y;
const CLOSING_FENCE = /(`{3,}|~{3,})[ \t]*$/y;
const SETEXT = /(?:=+|-+)[ \t]*$/y;
const RULE = /(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/y;
const BULLET = /[*+-](?=[ \t]|$)/y;
const NUMBER = /(\d{1,9})([.)])(?=[ \t]|$)/y;
const DELIMITER_ROW = /(?=.*[|:])\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*(?:\|[ \t]*)?$/y;
const FOOTNOTE = /\[\^([^\s[\]^]+)\]:[ \t]*/y;
const TASK = /^\[([ xX])\](?=[ \t]+\S)/;

const HTML_STARTS = [
  /<(?:script|pre|textarea|style)(?=[\s>]|$)/iy,
  /<!--/y,
  /<\?/y,
  /<![a-z]/iy,
  /<!\[CDATA\[/y,
  new RegExp(
    "</?(?:address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|" +
      "fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|" +
      "menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|" +
      "track|ul)(?=\\s|/?>|$)",
    "iy",
  ),
  new RegExp(`(?:${TAG.source})\\s*$`, "iy"),
];
/** What ends the first five kinds; the others end at a blank line. */
const HTML_ENDS = [/<\/(?:script|pre|textarea|style)>/i, /-->/, /\?>/, />/, /\]\]>/];

export class BlockParser {
  root = new Block("document", 1);
  #context;
  /** The open blocks, outermost first. */
  #open = [this.root];
  #line = 0;
  /** How many of the open blocks go on in this line. */
  #matched = 0;
  /** Whether what happens now can be undone, so that nobody else may hear of it. */
  #trying = false;

  /**
   * @param {object} context
   * @param {(label: string, definition: import("./references.js").Definition) => void} context.define
   * @param {(label: string) => void} context.defineFootnote
   */
  constructor(context) {
    this.#context = context;
  }

  /** @param {string} text a complete line, without its end */
  add(text) {
    this.#read(new Line(text));
    const leaf = this.#tip;
    if (leaf.kind === "paragraph" && leaf.text.length < MAX_PENDING_DEFINITION) this.#takeDefinitions(leaf, true);
  }

  /**
   * Call `look` while the tree is as if this were all of the last line.
   *
   * @param {string} text
   * @param {() => void} look
   */
  withUnfinished(text, look) {
    const saved = this.#open.map((block) => ({ block, copy: { ...block }, length: block.children.length }));
    const line = this.#line;
    this.#trying = true;
    try {
      if (!this.#undecided(text)) this.#read(new Line(text));
      this.#guess();
      look();
    } finally {
      this.#trying = false;
      this.#line = line;
      this.#open = saved.map(({ block }) => block);
      for (const { block, copy, length } of saved) {
        Object.assign(block, copy);
        block.children.length = length;
      }
    }
  }

  /** No more lines come. */
  end() {
    this.#closeTo(0);
  }

  get #tip() {
    return /** @type {Block} */ (this.#open.at(-1));
  }

  /**
   * Whether the next characters decide what this line is, so that showing it now would show its marks.
   *
   * @param {string} text
   */
  #undecided(text) {
    if (text.trim() === "") return true;
    const tip = this.#tip;
    if (tip.isFence || tip.kind === "maths") return /^[\s>]*(?:`+|~+|\$|\\)\s*$/.test(text);
    const rest = text.replace(/^(?:[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*/, "");
    return /^(?:#{1,6}|(?:[-+*_=][ \t]*)+|\d{1,9}[.)]?|`+|~+|\[[ xX]?\]?[ \t]*|\[\^[^\]\s]*\]?|[|:-][\s:|-]*|<|\$+|\\(?:\[|[a-z]*(?:\{[a-zA-Z]*\*?)?))?$/.test(rest);
  }

  /** Take an open paragraph for what it will most likely become: nothing but definitions, or a table's head. */
  #guess() {
    const tip = this.#tip;
    if (tip.kind !== "paragraph") return;
    this.#takeDefinitions(tip, false);
    if (tip.text === "" || (tip.task === null && /^\[(?!\^)[^\]]+\]:/.test(tip.text))) tip.kind = "nothing";
    else if (/^\|[ \t|]*[^\s|].*\n$/.test(tip.text)) this.#guessTable(tip);
  }

  /** @param {Block} tip */
  #guessTable(tip) {
    const head = cells(tip.text);
    if (head.length > MAX_COLUMNS) return;
    tip.columns = head.map(() => null);
    tip.children = [row(tip.text, this.#line)];
    tip.kind = "table";
  }

  /** @param {Line} line */
  #read(line) {
    this.#line += 1;
    this.#matched = 1;
    while (this.#matched < this.#open.length) {
      const outcome = this.#goesOn(/** @type {Block} */ (this.#open[this.#matched]), line);
      if (outcome === "ended") return;
      if (outcome === "no") break;
      this.#matched += 1;
    }
    const all = this.#matched === this.#open.length;
    const parent = /** @type {Block} */ (this.#open[this.#matched - 1]);
    const isVerbatim = all && ["code", "html", "maths"].includes(parent.kind);
    const begun = isVerbatim ? false : this.#beginBlocks(line);
    if (begun === "complete") return;
    this.#addText(line, !begun && !all);
  }

  /**
   * Whether an open block goes on in this line.
   *
   * @param {Block} block
   * @param {Line} line
   * @returns {"yes" | "no" | "ended"} `ended` if the line was its end, and is done with
   */
  #goesOn(block, line) {
    switch (block.kind) {
      case "quote":
        if (line.indent > 3 || line.text[line.next] !== ">") return "no";
        line.skip(1);
        line.skipColumns(1);
        return "yes";
      case "item":
        if (line.blank) return block.children.length > 0 ? (line.toNext(), "yes") : "no";
        if (line.indent < block.indent) return "no";
        line.skipColumns(block.indent);
        return "yes";
      case "footnote":
        if (line.blank) return line.toNext(), "yes";
        if (line.indent < 4) return "no";
        line.skipColumns(4);
        return "yes";
      case "list":
        return "yes";
      case "code":
        return block.isFence ? this.#fenceGoesOn(block, line) : indentedGoesOn(line);
      case "html":
        return line.blank && Number(block.marker) > 5 ? "no" : "yes";
      case "paragraph":
      case "table":
      case "maths":
        return line.blank ? "no" : "yes";
      default:
        return "no";
    }
  }

  /**
   * @param {Block} block
   * @param {Line} line
   */
  #fenceGoesOn(block, line) {
    const marks = line.indent <= 3 ? line.match(CLOSING_FENCE)?.[1] : undefined;
    if (marks && marks[0] === block.marker[0] && marks.length >= block.marker.length) {
      block.complete = true;
      this.#close(block, this.#line);
      return "ended";
    }
    line.skipColumns(block.indent);
    return "yes";
  }

  /**
   * Begin what this line begins, block within block.
   *
   * @param {Line} line
   * @returns {"complete" | "begun" | false} `complete` if nothing is left of the line
   */
  #beginBlocks(line) {
    /** @type {"begun" | false} */
    let begun = false;
    for (;;) {
      const indented = line.indent > 3;
      if (line.blank || (!indented && !MAY_START.test(line.text[line.next] ?? ""))) return begun;
      const outcome = this.#beginBlock(line, indented);
      if (outcome === "none") return begun;
      begun = "begun";
      if (outcome === "complete") return "complete";
      if (outcome === "leaf") return begun;
    }
  }

  /**
   * @param {Line} line
   * @param {boolean} indented
   * @returns {"container" | "leaf" | "complete" | "none"}
   */
  #beginBlock(line, indented) {
    const parent = /** @type {Block} */ (this.#open[this.#matched - 1]);
    const mayNest = this.#open.length < MAX_DEPTH;
    if (!indented) {
      if (mayNest && line.text[line.next] === ">") return this.#beginQuote(line);
      return (
        this.#beginHeading(line) ??
        this.#beginFence(line) ??
        this.#beginMaths(line) ??
        this.#beginHtml(line, parent) ??
        this.#underline(line, parent) ??
        this.#beginTable(line, parent) ??
        this.#beginRule(line) ??
        (mayNest ? (this.#beginFootnote(line) ?? this.#beginItem(line, parent)) : null) ??
        "none"
      );
    }
    return this.#beginIndented(line);
  }

  /** @param {Line} line */
  #beginQuote(line) {
    this.#begin("quote");
    line.skip(1);
    line.skipColumns(1);
    return /** @type {const} */ ("container");
  }

  /** @param {Line} line */
  #beginHeading(line) {
    const marks = line.match(HEADING)?.[0];
    if (!marks) return null;
    const heading = this.#begin("heading");
    heading.level = marks.length;
    heading.text = withoutClosingMarks(line.text.slice(line.next + marks.length)).replace(/^[ \t]+/, "");
    this.#close(heading, this.#line);
    // More of its only line may come.
    heading.open = this.#trying;
    return /** @type {const} */ ("complete");
  }

  /** @param {Line} line */
  #beginFence(line) {
    const marks = line.match(FENCE)?.[0];
    if (!marks) return null;
    const fence = this.#begin("code");
    fence.marker = marks;
    fence.indent = line.indent;
    fence.label = line.text.slice(line.next + marks.length).trim();
    return /** @type {const} */ ("complete");
  }

  /** @param {Line} line */
  #beginMaths(line) {
    const found = formulaBlock(line.rest);
    if (!found) return null;
    const maths = Object.assign(this.#begin("maths"), found);
    maths.text = line.rest;
    if (found.complete) this.#close(maths, this.#line);
    return /** @type {const} */ ("complete");
  }

  /**
   * @param {Line} line
   * @param {Block} parent
   */
  #beginHtml(line, parent) {
    if (line.text[line.next] !== "<") return null;
    const index = HTML_STARTS.findIndex((pattern) => line.match(pattern));
    const interrupts = parent.kind === "paragraph" || this.#tip.kind === "paragraph";
    if (index < 0 || (index === 6 && interrupts)) return null;
    this.#begin("html").marker = String(index + 1);
    return /** @type {const} */ ("leaf");
  }

  /**
   * A setext heading's underline.
   *
   * @param {Line} line
   * @param {Block} parent
   */
  #underline(line, parent) {
    if (parent.kind !== "paragraph" || !line.match(SETEXT)) return null;
    this.#takeDefinitions(parent, false);
    if (parent.text === "") return null;
    parent.kind = "heading";
    parent.level = line.text[line.next] === "=" ? 1 : 2;
    parent.text = parent.text.trimEnd();
    this.#close(parent, this.#line);
    return /** @type {const} */ ("complete");
  }

  /**
   * @param {Line} line
   * @param {Block} parent
   */
  #beginTable(line, parent) {
    if (parent.kind !== "paragraph" || !line.match(DELIMITER_ROW)) return null;
    const columns = cells(line.rest);
    const headStart = parent.text.lastIndexOf("\n", parent.text.length - 2) + 1;
    const head = parent.text.slice(headStart).trimEnd();
    if (head === "" || columns.length > MAX_COLUMNS || cells(head).length !== columns.length) return null;
    let table = parent;
    if (headStart > 0) {
      parent.text = parent.text.slice(0, headStart);
      this.#close(parent, this.#line - 1);
      table = this.#begin("table");
    }
    table.kind = "table";
    table.text = "";
    table.columns = columns.map(alignment);
    table.children = [row(head, this.#line - 1)];
    return /** @type {const} */ ("complete");
  }

  /** @param {Line} line */
  #beginRule(line) {
    if (!line.match(RULE)) return null;
    this.#close(this.#begin("rule"), this.#line);
    return /** @type {const} */ ("complete");
  }

  /** @param {Line} line */
  #beginFootnote(line) {
    const found = line.match(FOOTNOTE);
    if (!found) return null;
    const footnote = this.#begin("footnote");
    footnote.label = normalLabel(found[1] ?? "");
    // Even if the line is only tried: no rest of it could change that.
    this.#context.defineFootnote(footnote.label);
    line.skip(found[0].replace(/[ \t]+$/, "").length);
    line.skipColumns(Infinity);
    return /** @type {const} */ ("container");
  }

  /**
   * @param {Line} line
   * @param {Block} parent
   */
  #beginItem(line, parent) {
    const bullet = line.match(BULLET)?.[0];
    const numbered = bullet ? null : line.match(NUMBER);
    const marker = bullet ?? numbered?.[0];
    if (!marker) return null;
    const start = numbered ? Number(numbered[1]) : null;
    const isEmpty = line.text.slice(line.next + marker.length).trim() === "";
    // Only a list that begins with 1 may interrupt a paragraph, and not with an empty item.
    if (parent.kind === "paragraph" && (isEmpty || (start ?? 1) !== 1)) return null;
    const kind = bullet ?? numbered?.[2] ?? "";
    const { indent } = line;
    line.skip(marker.length);
    const isSameList = parent.kind === "list" && parent.marker === kind && (parent.start === null) === (start === null);
    if (!isSameList) {
      if (parent.kind === "list") this.#matched -= 1;
      const list = this.#begin("list");
      list.marker = kind;
      list.start = start;
    }
    // More than four spaces belong to indented code in the item.
    const spaces = isEmpty || line.indent > 4 ? 1 : line.indent;
    this.#begin("item").indent = indent + marker.length + spaces;
    line.skipColumns(spaces);
    return /** @type {const} */ ("container");
  }

  /** @param {Line} line */
  #beginIndented(line) {
    // It cannot interrupt a paragraph, not even one that this line would continue lazily.
    if (this.#tip.kind === "paragraph" || line.blank) return /** @type {const} */ ("none");
    line.skipColumns(4);
    this.#begin("code");
    return /** @type {const} */ ("leaf");
  }

  /**
   * @param {Line} line
   * @param {boolean} mayBeLazy
   */
  #addText(line, mayBeLazy) {
    if (mayBeLazy && !line.blank && this.#tip.kind === "paragraph") {
      this.#tip.text += line.rest + "\n";
      return;
    }
    this.#closeTo(this.#matched);
    const leaf = this.#tip;
    switch (leaf.kind) {
      case "code":
        leaf.text += line.remainder() + "\n";
        return;
      case "html":
        leaf.text += line.remainder() + "\n";
        if (HTML_ENDS[Number(leaf.marker) - 1]?.test(line.text)) this.#close(leaf, this.#line);
        return;
      case "maths":
        leaf.complete = endsFormula(leaf, line.text);
        leaf.text += "\n" + line.text.slice(line.at);
        if (leaf.complete) this.#close(leaf, this.#line);
        return;
      case "table":
        leaf.children.push(row(line.rest, this.#line));
        return;
      case "paragraph":
        leaf.text += line.rest + "\n";
        return;
    }
    if (line.blank) return;
    // A list holds items only.
    if (leaf.kind === "list") this.#closeTo(this.#open.length - 1);
    const parent = this.#tip;
    const paragraph = this.#begin("paragraph");
    const task = parent.kind === "item" && parent.children[0] === paragraph ? TASK.exec(line.rest) : null;
    if (task) paragraph.task = task[1] !== " ";
    paragraph.text = line.rest.slice(task ? 3 : 0) + "\n";
  }

  /**
   * Open a block in the innermost one that goes on in this line.
   *
   * @param {import("./block.js").Kind} kind
   */
  #begin(kind) {
    this.#closeTo(this.#matched);
    while (!this.#tip.isContainer || (this.#tip.kind === "list" && kind !== "item")) this.#closeTo(this.#open.length - 1);
    const parent = this.#tip;
    const block = new Block(kind, this.#line);
    const previous = parent.children.at(-1);
    const list = parent.kind === "item" ? this.#open.at(-2) : parent;
    if (previous && list?.kind === "list" && previous.endLine < this.#line - 1) list.loose = true;
    parent.children.push(block);
    this.#open.push(block);
    this.#matched = this.#open.length;
    return block;
  }

  /** @param {number} count of open blocks that stay open */
  #closeTo(count) {
    while (this.#open.length > count) this.#close(this.#tip, this.#line - 1);
  }

  /**
   * Close the innermost open block.
   *
   * @param {Block} block
   * @param {number} endLine
   */
  #close(block, endLine) {
    this.#open.pop();
    this.#matched = Math.min(this.#matched, this.#open.length);
    block.open = false;
    block.endLine = endLine;
    const last = block.children.at(-1);
    switch (block.kind) {
      case "list":
      case "item":
        block.endLine = last ? last.endLine : block.startLine;
        break;
      case "maths":
        if (block.complete) break;
        block.kind = "paragraph";
        block.text += "\n";
        break;
      case "paragraph":
        this.#takeDefinitions(block, false);
        if (block.text.trim() === "" && block.task === null) block.kind = "nothing";
        break;
      case "html":
        block.text = block.text.trimEnd();
        break;
      case "code":
        if (!block.isFence) {
          const { end, count } = beforeBlankLines(block.text);
          block.text = block.text.slice(0, end);
          block.endLine -= count;
        }
        break;
    }
  }

  /**
   * @param {Block} paragraph
   * @param {boolean} onlyCertain leave what further lines could change
   */
  #takeDefinitions(paragraph, onlyCertain) {
    while (paragraph.text.startsWith("[") && paragraph.task === null) {
      const found = scanDefinition(paragraph.text);
      if (!found || (onlyCertain && !found.certain)) return;
      if (!this.#trying) this.#context.define(normalLabel(found.label), found.definition);
      paragraph.text = paragraph.text.slice(found.end);
    }
  }
}

/**
 * What stands in a heading: not the marks that may be repeated at its end, nor the spaces there.
 *
 * @param {string} text what follows its first marks
 */
function withoutClosingMarks(text) {
  const end = endBefore(text, " \t");
  const marks = endBefore(text.slice(0, end), "#");
  const isClosed = /^[ \t]?$/.test(text.slice(Math.max(0, marks - 1), marks));
  return isClosed ? text.slice(0, endBefore(text.slice(0, marks), " \t")) : text.slice(0, end);
}

/** @param {Line} line */
function indentedGoesOn(line) {
  if (line.indent > 3 || line.blank) {
    line.skipColumns(4);
    return "yes";
  }
  return "no";
}

/**
 * @param {string} text
 * @param {number} line
 */
function row(text, line) {
  const made = new Block("row", line);
  made.text = text;
  made.open = false;
  return made;
}
