/**
 * The inside of a paragraph, a heading or a table's cell: source text to a list of nodes.
 *
 * Follows the algorithm of CommonMark 0.31.2's appendix ("phase 2: inline structure") with the extensions of GFM. The
 * text of a leaf that is still open is read optimistically: what has no end yet (`**bold`, `` `code``, `[text](ht`) is
 * taken for what it will most likely become, and marks at the very end, of which the next character decides, wait.
 */

import { withAutolinks } from "./autolinks.js";
import { CJK } from "./cjk.js";
import { ESCAPABLE, REFERENCE, decodeReference } from "./entities.js";
import { formulaEnd, guessFormula } from "./formulas.js";
import { safeLink } from "./links.js";
import { normalLabel, scanDestination, scanLabel, scanTitle, skipSpace } from "./references.js";
import { endBefore, match } from "./scan.js";

/**
 * @typedef {{type: "text", text: string, at: number}} TextNode `at` is where its source begins if that is the same
 *   text, else -1
 * @typedef {{type: "emphasis" | "strong" | "deleted", children: Inline[]}} SpanNode
 * @typedef {{type: "link", href: string | null, title: string | null, children: Inline[]}} LinkNode `href` is null as
 *   long as it has not arrived
 * @typedef {{type: "image", href: string | null, title: string | null, text: string}} ImageNode
 * @typedef {{type: "code", text: string}} CodeNode
 * @typedef {{type: "maths", text: string, display: boolean, open: boolean}} MathsNode `open` if it has no end yet
 * @typedef {{type: "footnote", label: string}} FootnoteNode
 * @typedef {{type: "checkbox", checked: boolean}} CheckboxNode
 * @typedef {TextNode | SpanNode | LinkNode | ImageNode | CodeNode | MathsNode | FootnoteNode | CheckboxNode
 *   | {type: "break"}} Inline
 *
 * @typedef {object} Context
 * @property {(label: string) => import("./references.js").Definition | null} definition of a label, in normal form
 * @property {(label: string) => boolean} isFootnote whether a label is, or may become, a footnote's
 * @property {boolean} autolinks whether an address in plain text becomes a link, as in GFM but not in CommonMark
 *
 * @typedef {object} Parsed
 * @property {Inline[]} nodes
 * @property {{nodes: number, text: number, source: number} | null} settled how far no further text can change the
 *   outcome, where that is known: so many nodes, so many characters of the text node after them, and of the source
 */

const PLAIN = /[^\n`[\]\\!<&*_~$]+/y;
const BACKTICKS = /`+/y;
const DELIMITERS = /\*+|_+|~+/y;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const WHITE_SPACE = /\s/;
const URI_AUTOLINK = /<([a-z][a-z0-9+.-]{1,31}:[^<>\x00-\x20]*)>/iy;
const URI_AUTOLINK_START = /<([a-z][a-z0-9+.-]{1,31}:[^<>\x00-\x20]*)$/iy;
const EMAIL_AUTOLINK =
  /<([\w.!#$%&'*+/=?^`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)>/iy;
/** A tag of HTML (section 6.6), whether or not there is one of that name. */
export const TAG =
  /<[a-z][a-z0-9-]*(?:\s+[a-z_:][\w.:-]*(?:\s*=\s*(?:[^\s"'=<>`]+|'[^']*'|"[^"]*"))?)*\s*\/?>|<\/[a-z][a-z0-9-]*\s*>/iy;
/** Raw HTML that is no tag: what it begins with, where its end may be at the soonest, and that end. */
const MARKUP = /** @type {const} */ ([
  [/<!--/y, 2, "-->"],
  [/<\?/y, 2, "?>"],
  [/<![a-z]/iy, 3, ">"],
  [/<!\[CDATA\[/iy, 9, "]]>"],
]);
const LINE_BREAK_TAG = /^<br\s*\/?>$/i;
/** Text whose meaning the next character decides, and how far from the end it is looked for. */
const UNDECIDED_END =
  /(?:[!\\]?\[)?(?:\\?[*_~`]+|\\|&#?\w{0,31}|\^|<(?:[a-z][\w+.@-]{0,31})?|\$+)?$|!$/i;
const UNDECIDED = 64;
/** How long what looks like a link's text may go on without an end, before it is taken for plain text. */
const MAX_PENDING = 120;
/** How deep spans may nest. Those within are not drawn, but what they hold is: browsers do not bear thousands. */
const MAX_DEPTH = 64;

/**
 * @param {string} source
 * @param {Context} context
 * @param {boolean} open whether more may follow
 * @returns {Parsed}
 */
export function parseInlines(source, context, open) {
  return new InlineParser(open ? decided(source) : source.slice(0, endBefore(source, " \t\n")), context, open).parse();
}

/** @param {string} source */
function decided(source) {
  const end = source.endsWith("\n") ? source.length - 1 : source.length;
  const start = Math.max(0, end - UNDECIDED);
  return source.slice(0, start) + source.slice(start, end).replace(UNDECIDED_END, "");
}

/**
 * A node while its neighbours are not known: one of a linked list, so that what stands between two marks can be wrapped.
 */
class Piece {
  /** @type {Piece | null} */ previous = null;
  /** @type {Piece | null} */ next = null;
  /** The first piece inside. @type {Piece | null} */ inside = null;

  /**
   * @param {any} node an Inline; one of several children has them in `inside`
   */
  constructor(node) {
    this.node = node;
  }
}

/**
 * A run of `*`, `_` or `~` that may begin or end emphasis.
 *
 * @typedef {object} Delimiter
 * @property {Piece} piece
 * @property {string} character
 * @property {number} length of the run in the source
 * @property {number} left how many of its marks are not used yet
 * @property {boolean} opens
 * @property {boolean} closes
 * @property {boolean} likely whether it most likely opens something, if no end is there yet
 * @property {number} at
 * @property {Delimiter | null} previous
 * @property {Delimiter | null} next
 *
 * @typedef {object} Bracket
 * @property {Piece} piece
 * @property {boolean} image
 * @property {number} at where it stands
 * @property {number} start where its text begins
 * @property {Delimiter | null} before the last delimiter before it
 */

class InlineParser {
  #text;
  #context;
  #open;
  #at = 0;
  #first = new Piece({ type: "text", text: "", at: -1 });
  #last = this.#first;
  /** @type {Delimiter | null} */
  #delimiter = null;
  /** @type {Bracket[]} */
  #brackets = [];
  /** How many of the brackets have a link in them: links hold no links, but images may. */
  #aroundLink = 0;
  /** Where the runs of so many backticks begin. @type {Map<number, number[]> | null} */
  #backticks = null;
  /** What raw HTML would end with and does not stand in the rest of the text. @type {Set<string>} */
  #endless = new Set();
  /** Where something begins that has no end yet: from there on, more text may change everything. */
  #unsettled = Infinity;

  /**
   * @param {string} text
   * @param {Context} context
   * @param {boolean} open
   */
  constructor(text, context, open) {
    this.#text = text;
    this.#context = context;
    this.#open = open;
  }

  /** @returns {Parsed} */
  parse() {
    while (this.#at < this.#text.length) this.#step();
    if (this.#open) this.#closePendingBracket();
    this.#processEmphasis(null, this.#open);
    const nodes = this.#nodes(this.#first.next, this.#context.autolinks);
    return { nodes, settled: this.#open ? this.#settled(nodes) : null };
  }

  #step() {
    const plain = match(PLAIN, this.#text, this.#at);
    if (plain) {
      this.#append({ type: "text", text: plain[0], at: this.#at });
      this.#at += plain[0].length;
      return;
    }
    switch (this.#text[this.#at]) {
      case "\n":
        return this.#lineEnd();
      case "\\":
        return this.#backslash();
      case "`":
        return this.#code();
      case "*":
      case "_":
      case "~":
        return this.#delimiters();
      case "$":
        return this.#maths();
      case "[":
        return this.#openBracket(1);
      case "!":
        return this.#text[this.#at + 1] === "[" ? this.#openBracket(2) : this.#literal(1);
      case "]":
        return this.#closeBracket();
      case "<":
        return this.#angle();
      default:
        return this.#reference();
    }
  }

  /** @param {Inline} node */
  #append(node) {
    const piece = new Piece(node);
    piece.previous = this.#last;
    this.#last.next = piece;
    this.#last = piece;
    return piece;
  }

  /** @param {number} length */
  #literal(length) {
    const piece = this.#append({ type: "text", text: this.#text.substr(this.#at, length), at: this.#at });
    this.#at += length;
    return piece;
  }

  /** @param {string} text @param {number} length of its source */
  #decoded(text, length) {
    this.#append({ type: "text", text, at: -1 });
    this.#at += length;
  }

  #lineEnd() {
    const { node } = this.#last;
    const spaces = node.type === "text" ? node.text.length - endBefore(node.text, " ") : 0;
    if (spaces > 0) {
      node.text = node.text.slice(0, -spaces);
      node.at = -1;
    }
    if (spaces > 1) this.#append({ type: "break" });
    this.#newLine(1);
  }

  /** @param {number} length */
  #newLine(length) {
    const indent = match(/[ \t]*/y, this.#text, this.#at + length)?.[0].length ?? 0;
    const same = length === 1 && indent === 0;
    this.#append({ type: "text", text: "\n", at: same ? this.#at : -1 });
    this.#at += length + indent;
  }

  #backslash() {
    const next = this.#text[this.#at + 1];
    if (next === "\n") {
      this.#append({ type: "break" });
      this.#newLine(2);
    } else if (next === "(" || next === "[") {
      if (!this.#formula(`\\${next}`)) this.#decoded(next, 2);
    } else if (next !== undefined && ESCAPABLE.test(next)) this.#decoded(next, 2);
    else this.#literal(1);
  }

  #reference() {
    const found = match(REFERENCE, this.#text, this.#at)?.[0];
    if (found) this.#decoded(decodeReference(found), found.length);
    else this.#literal(1);
  }

  #code() {
    const run = match(BACKTICKS, this.#text, this.#at)?.[0] ?? "";
    const start = this.#at + run.length;
    const end = this.#nextBackticks(run.length, start);
    if (end === null && !(this.#open && start < this.#text.length)) {
      this.#unsettled = Math.min(this.#unsettled, this.#at);
      this.#literal(run.length);
      return;
    }
    if (end === null) this.#unsettled = Math.min(this.#unsettled, this.#at);
    let text = this.#text.slice(start, end ?? undefined).replaceAll("\n", " ");
    if (end === null) text = text.trim();
    else if (/^ [^]* $/.test(text) && /[^ ]/.test(text)) text = text.slice(1, -1);
    this.#append({ type: "code", text });
    this.#at = end === null ? this.#text.length : end + run.length;
  }

  /**
   * Where the next run of so many backticks begins, or null.
   *
   * @param {number} length
   * @param {number} from
   */
  #nextBackticks(length, from) {
    if (!this.#backticks) {
      this.#backticks = new Map();
      for (const { 0: run, index } of this.#text.matchAll(/`+/g)) {
        const starts = this.#backticks.get(run.length);
        if (starts) starts.push(index);
        else this.#backticks.set(run.length, [index]);
      }
      for (const starts of this.#backticks.values()) starts.reverse();
    }
    const starts = this.#backticks.get(length) ?? [];
    while (starts.length > 0 && /** @type {number} */ (starts.at(-1)) < from) starts.pop();
    return starts.at(-1) ?? null;
  }

  #maths() {
    const mark = this.#text.startsWith("$$", this.#at) ? "$$" : "$";
    if (!this.#formula(mark)) this.#literal(mark.length);
  }

  /**
   * Take the formula that begins here, if it is one.
   *
   * @param {import("./formulas.js").Mark} mark that it begins with
   */
  #formula(mark) {
    const start = this.#at + mark.length;
    const end = formulaEnd(this.#text, mark, start);
    if (end === null) return false;
    const open = end < 0;
    if (open) this.#unsettled = Math.min(this.#unsettled, this.#at);
    const guess = !open ? "formula" : this.#open ? guessFormula(this.#text, mark, start) : "text";
    if (guess === "text") return false;
    const text = this.#text.slice(start, open ? undefined : end).trim();
    if (guess === "formula") this.#append({ type: "maths", text, display: mark === "$$" || mark === "\\[", open });
    this.#at = open ? this.#text.length : end + mark.length;
    return true;
  }

  #angle() {
    const address = match(URI_AUTOLINK, this.#text, this.#at) ?? match(EMAIL_AUTOLINK, this.#text, this.#at);
    const tag = address ? null : (match(TAG, this.#text, this.#at)?.[0] ?? this.#markup());
    if (address) {
      const shown = address[1] ?? "";
      this.#link((/^[^:]*@/.test(shown) ? "mailto:" : "") + shown, shown);
      this.#at += address[0].length;
    } else if (tag && LINE_BREAK_TAG.test(tag)) {
      this.#append({ type: "break" });
      this.#at += tag.length;
    } else if (tag) {
      this.#decoded(tag, tag.length);
    } else {
      if (/[a-z/!?]/i.test(this.#text[this.#at + 1] ?? "")) this.#unsettled = Math.min(this.#unsettled, this.#at);
      const pending = this.#open ? match(URI_AUTOLINK_START, this.#text, this.#at) : null;
      if (!pending) return void this.#literal(1);
      this.#link(null, pending[1] ?? "");
      this.#at = this.#text.length;
    }
  }

  /** Raw HTML that is no tag. */
  #markup() {
    for (const [start, length, end] of MARKUP) {
      if (this.#endless.has(end) || !match(start, this.#text, this.#at)) continue;
      const at = this.#text.indexOf(end, this.#at + length);
      if (at >= 0) return this.#text.slice(this.#at, at + end.length);
      this.#endless.add(end);
    }
    return undefined;
  }

  /**
   * @param {string | null} href
   * @param {string} text
   */
  #link(href, text) {
    const link = this.#append({ type: "link", href, title: null, children: [] });
    link.inside = new Piece({ type: "text", text, at: -1 });
  }

  // Brackets: links, images and footnotes.

  /** @param {number} length 2 for an image's */
  #openBracket(length) {
    const at = this.#at;
    const piece = this.#literal(length);
    this.#brackets.push({ piece, image: length === 2, at, start: this.#at, before: this.#delimiter });
  }

  #closeBracket() {
    const bracket = this.#brackets.at(-1);
    if (!bracket) return void this.#literal(1);
    const after = this.#at + 1;
    const text = this.#text.slice(bracket.start, this.#at);
    if (!bracket.image && /^\^[^\s[\]^]+$/.test(text)) {
      const label = normalLabel(text.slice(1));
      if (this.#context.isFootnote(label)) {
        this.#popBracket();
        this.#cutFrom(bracket.piece, bracket.before);
        this.#append({ type: "footnote", label: text.slice(1) });
        this.#at = after;
        return;
      }
    }
    const target = this.#mayLink(bracket) ? this.#target(bracket, text, after) : null;
    this.#popBracket();
    if (!target) return void this.#literal(1);
    this.#wrapBracket(bracket, target.href, target.title);
    this.#at = target.end;
  }

  /** @param {Bracket} bracket the innermost */
  #mayLink(bracket) {
    return bracket.image || this.#brackets.length > this.#aroundLink;
  }

  #popBracket() {
    this.#brackets.pop();
    this.#aroundLink = Math.min(this.#aroundLink, this.#brackets.length);
  }

  /**
   * What follows the text of a link: where it leads.
   *
   * @param {Bracket} bracket
   * @param {string} text
   * @param {number} after
   * @returns {{href: string | null, title: string | null, end: number} | null}
   */
  #target(bracket, text, after) {
    const inline = this.#inlineTarget(after);
    if (inline && inline.href !== null) return inline;
    const label = this.#text[after] === "[" ? scanLabel(this.#text, after) : null;
    const isFull = label !== null && label.label !== "";
    // The text of a collapsed or a shortcut reference is its label: it holds no other brackets.
    const name = isFull ? label.label : scanLabel(this.#text, bracket.start - 1)?.end === after ? text : "";
    const definition = name.trim() === "" ? null : this.#context.definition(normalLabel(name));
    if (definition) return { ...definition, end: label ? label.end : after };
    if (inline) return inline;
    const rest = this.#text.slice(after);
    const pending = this.#open && text.length <= MAX_PENDING && !/^[ xX]?$/.test(text) && /^(?:\[[^\]]*)?$/.test(rest);
    return pending ? this.#pendingTarget(bracket) : null;
  }

  /** @param {Bracket} bracket */
  #pendingTarget(bracket) {
    this.#unsettled = Math.min(this.#unsettled, bracket.at);
    return { href: null, title: null, end: this.#text.length };
  }

  /**
   * `(destination "title")`; its href is null if the text ends within.
   *
   * @param {number} after
   * @returns {{href: string | null, title: string | null, end: number} | null}
   */
  #inlineTarget(after) {
    if (this.#text[after] !== "(") return null;
    const length = this.#text.length;
    const cut = this.#open ? { href: null, title: null, end: length } : null;
    const start = skipSpace(this.#text, after + 1);
    const target = scanDestination(this.#text, start);
    if (!target) return /^\S*$/.test(this.#text.slice(start, start + MAX_PENDING * 4)) ? this.#unfinished(cut, after) : null;
    let end = skipSpace(this.#text, target.end);
    let title = null;
    if (end > target.end && end < length) {
      const scanned = scanTitle(this.#text, end);
      if (!scanned && /["'(]/.test(this.#text[end] ?? "")) return this.#unfinished(cut, after);
      title = scanned?.title ?? null;
      if (scanned) end = skipSpace(this.#text, scanned.end);
    }
    if (this.#text[end] === ")") return { href: target.destination, title, end: end + 1 };
    return end >= length ? this.#unfinished(cut, after) : null;
  }

  /**
   * @template T
   * @param {T | null} cut
   * @param {number} after
   */
  #unfinished(cut, after) {
    this.#unsettled = Math.min(this.#unsettled, this.#brackets.at(-1)?.at ?? after);
    return cut && this.#text.length - after <= MAX_PENDING * 4 ? cut : null;
  }

  /**
   * @param {Bracket} bracket
   * @param {string | null} href
   * @param {string | null} title
   * @param {boolean} [optimistic]
   */
  #wrapBracket(bracket, href, title, optimistic = false) {
    this.#processEmphasis(bracket.before, optimistic);
    const inside = bracket.piece.next;
    this.#cutFrom(bracket.piece, bracket.before);
    if (bracket.image) {
      this.#append({ type: "image", href, title, text: plainText(this.#nodes(inside, false)) });
      return;
    }
    const link = this.#append({ type: "link", href, title, children: [] });
    link.inside = inside;
    if (inside) inside.previous = null;
    this.#aroundLink = this.#brackets.length;
  }

  /**
   * Take a piece and all that follows out of the list.
   *
   * @param {Piece} piece
   * @param {Delimiter | null} before
   */
  #cutFrom(piece, before) {
    this.#last = /** @type {Piece} */ (piece.previous);
    this.#last.next = null;
    this.#delimiter = before;
    if (before) before.next = null;
  }

  /** The text ended inside of a link's text: most likely its end will come. */
  #closePendingBracket() {
    for (const { at } of this.#brackets.slice(0, 1)) this.#unsettled = Math.min(this.#unsettled, at);
    const bracket = this.#brackets.at(-1);
    const text = bracket && this.#text.slice(bracket.start);
    if (!bracket || !text || !this.#mayLink(bracket) || text.length > MAX_PENDING || /^[\s\d]|\n/.test(text)) return;
    this.#popBracket();
    if (text.startsWith("^") && !bracket.image) this.#cutFrom(bracket.piece, bracket.before);
    else this.#wrapBracket(bracket, null, null, true);
  }

  // Emphasis

  #delimiters() {
    const at = this.#at;
    const run = match(DELIMITERS, this.#text, at)?.[0] ?? "";
    const character = run[0] ?? "";
    const before = characterBefore(this.#text, at);
    const after = characterAfter(this.#text, at + run.length);
    const piece = this.#literal(run.length);
    if (character === "~" && run.length > 2) return;
    const spaceBefore = before === "" || WHITE_SPACE.test(before);
    const spaceAfter = after === "" || WHITE_SPACE.test(after);
    const markBefore = PUNCTUATION.test(before);
    const markAfter = PUNCTUATION.test(after);
    // Where words have no spaces between them, marks may stand beside any of their letters and punctuation. Source:
    // the amendment to section 6.2 of github.com/tats-u/markdown-cjk-friendly.
    const isCjk = CJK.test(before) || CJK.test(after);
    const left = !spaceAfter && (!markAfter || spaceBefore || markBefore || isCjk);
    const right = !spaceBefore && (!markBefore || spaceAfter || markAfter || isCjk);
    const inWord = character === "_";
    const delimiter = {
      piece,
      character,
      length: run.length,
      left: run.length,
      opens: left && (!inWord || !right || markBefore),
      closes: right && (!inWord || !left || markAfter),
      likely: left && (spaceBefore || markBefore || CJK.test(before)) && run !== "~",
      at,
      previous: this.#delimiter,
      next: null,
    };
    if (this.#delimiter) this.#delimiter.next = /** @type {any} */ (delimiter);
    this.#delimiter = delimiter;
  }

  /**
   * @param {Delimiter | null} bottom the last delimiter to leave alone
   * @param {boolean} optimistic whether to close what is still open
   */
  #processEmphasis(bottom, optimistic) {
    /** Up to where there is no opener for a kind of closer. @type {Map<string, number>} */
    const bottoms = new Map();
    let closer = this.#above(bottom);
    while (closer) {
      if (!closer.closes) {
        closer = closer.next;
        continue;
      }
      const kind = `${closer.character}${closer.opens}${closer.character === "~" ? closer.left : closer.length % 3}`;
      const opener = findOpener(closer, Math.max(bottom?.at ?? -1, bottoms.get(kind) ?? -1));
      if (opener) {
        closer = this.#wrapEmphasis(opener, closer);
      } else {
        bottoms.set(kind, closer.at - 1);
        const { next } = closer;
        if (!closer.opens) this.#remove(closer);
        closer = next;
      }
    }
    for (let rest = this.#delimiter; rest && rest !== bottom; rest = rest.previous) {
      if (!rest.opens) continue;
      this.#unsettled = Math.min(this.#unsettled, rest.at);
      if (optimistic && rest.likely && rest.piece.next) this.#wrapRest(rest);
    }
    this.#delimiter = bottom;
    if (bottom) bottom.next = null;
  }

  /** @param {Delimiter | null} bottom */
  #above(bottom) {
    let lowest = this.#delimiter;
    if (lowest === bottom) return null;
    while (lowest && lowest.previous !== bottom) lowest = lowest.previous;
    return lowest;
  }

  /** @param {Delimiter} delimiter */
  #remove(delimiter) {
    if (delimiter.previous) delimiter.previous.next = delimiter.next;
    if (delimiter.next) delimiter.next.previous = delimiter.previous;
    else this.#delimiter = delimiter.previous;
  }

  /**
   * @param {Delimiter} opener
   * @param {Delimiter} closer
   * @returns {Delimiter | null} the next to look at
   */
  #wrapEmphasis(opener, closer) {
    const used = closer.character === "~" ? closer.left : Math.min(2, opener.left, closer.left);
    for (let between = opener.next; between && between !== closer; between = between.next) this.#remove(between);
    const first = opener.piece.next;
    const last = closer.piece.previous;
    this.#shorten(opener, used);
    this.#shorten(closer, used);
    // The marks nearest to the text are the ones used: pieces of text that are left stay outside.
    const piece = new Piece(spanNode(opener.character, used));
    piece.inside = first;
    if (first) first.previous = null;
    if (last) last.next = null;
    piece.previous = opener.piece;
    piece.next = closer.piece;
    opener.piece.next = piece;
    closer.piece.previous = piece;
    if (opener.left === 0) this.#drop(opener);
    if (closer.left > 0) return closer;
    const { next } = closer;
    this.#drop(closer);
    return next;
  }

  /** @param {Delimiter} opener */
  #wrapRest(opener) {
    const { piece } = opener;
    for (; opener.left > 0 && piece.next; ) {
      const used = opener.character === "~" ? opener.left : Math.min(2, opener.left);
      const span = new Piece(spanNode(opener.character, used));
      span.inside = piece.next;
      span.inside.previous = null;
      span.previous = piece;
      piece.next = span;
      this.#last = span;
      this.#shorten(opener, used);
    }
    this.#unlink(piece);
  }

  /**
   * @param {Delimiter} delimiter
   * @param {number} used
   */
  #shorten(delimiter, used) {
    delimiter.left -= used;
    const { node } = delimiter.piece;
    node.text = node.text.slice(used);
    node.at = -1;
  }

  /** @param {Delimiter} delimiter */
  #drop(delimiter) {
    this.#remove(delimiter);
    this.#unlink(delimiter.piece);
  }

  /** @param {Piece} piece */
  #unlink(piece) {
    if (piece.previous) piece.previous.next = piece.next;
    if (piece.next) piece.next.previous = piece.previous;
    else this.#last = /** @type {Piece} */ (piece.previous);
  }

  // The outcome

  /**
   * @param {Piece | null} first
   * @param {boolean} autolinks
   * @param {number} [depth]
   * @returns {Inline[]}
   */
  #nodes(first, autolinks, depth = 0) {
    /** @type {Inline[]} */
    const nodes = [];
    for (let piece = first; piece; piece = piece.next) {
      const { node } = piece;
      if ("children" in node && depth === MAX_DEPTH) {
        for (const leaf of leaves(piece.inside)) append(nodes, leaf);
        continue;
      }
      if ("children" in node) node.children = this.#nodes(piece.inside, autolinks && node.type !== "link", depth + 1);
      append(nodes, node);
    }
    return autolinks ? withAutolinks(nodes) : nodes;
  }

  /**
   * @param {Inline[]} nodes
   * @returns {Parsed["settled"]}
   */
  #settled(nodes) {
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const node = nodes[index];
      if (node?.type !== "text" || node.at < 0) continue;
      // A text may be cut where its last word began: what follows is read the same with or without what went before.
      const sure = node.text.slice(0, Math.max(0, this.#unsettled - node.at));
      const cut = sure.lastIndexOf(" ");
      if (cut > 0 && sure[cut - 1] !== " ") return { nodes: index, text: cut, source: node.at + cut };
    }
    return null;
  }
}

/** What holds nothing else, however deep it is. @param {Piece | null} first */
function* leaves(first) {
  const rest = [first];
  while (rest.length > 0) {
    const piece = rest.pop();
    if (!piece) continue;
    rest.push(piece.next);
    if ("children" in piece.node) rest.push(piece.inside);
    else yield piece.node;
  }
}

/**
 * @param {Delimiter} closer
 * @param {number} after where it must stand behind
 */
function findOpener(closer, after) {
  for (let opener = closer.previous; opener && opener.at > after; opener = opener.previous) {
    if (!opener.opens || opener.character !== closer.character) continue;
    if (closer.character === "~") {
      if (opener.left === closer.left) return opener;
      continue;
    }
    // "Rule of three" (sections 6.2, rules 9 and 10).
    const either = closer.opens || opener.closes;
    if (!either || closer.length % 3 === 0 || (opener.length + closer.length) % 3 !== 0) return opener;
  }
  return null;
}

/**
 * @param {string} character
 * @param {number} used
 */
function spanNode(character, used) {
  const type = character === "~" ? "deleted" : used === 2 ? "strong" : "emphasis";
  return { type, children: [] };
}

/** @param {string} text @param {number} at */
function characterBefore(text, at) {
  const low = text.charCodeAt(at - 1);
  const pair = low >= 0xdc00 && low <= 0xdfff && at > 1;
  return at === 0 ? "" : text.slice(at - (pair ? 2 : 1), at);
}

/** @param {string} text @param {number} at */
function characterAfter(text, at) {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at) ?? 0) : "";
}

/**
 * @param {Inline[]} nodes
 * @param {Inline} node
 */
function append(nodes, node) {
  const last = nodes.at(-1);
  if (node.type === "text" && last?.type === "text") {
    if (node.at < 0 || last.at < 0 || last.at + last.text.length !== node.at) last.at = -1;
    last.text += node.text;
  } else if (node.type === "link" && node.href !== null && !safeLink(node.href)) {
    // No link may lead there: only its text is shown.
    for (const child of node.children) append(nodes, child);
  } else if (node.type === "image" && node.href !== null && !safeLink(node.href)) {
    append(nodes, { type: "text", text: node.text, at: -1 });
  } else if (node.type !== "text" || node.text !== "") nodes.push(node);
}

/**
 * What an image is called by: the text of what stands in its brackets.
 *
 * @param {Inline[]} nodes
 * @returns {string}
 */
function plainText(nodes) {
  return nodes
    .map((node) => ("children" in node ? plainText(node.children) : "text" in node ? node.text : ""))
    .join("");
}
