/**
 * LaTeX's maths, as language models write it, to native MathML (Core: what all current browsers draw).
 *
 * A recursive descent over the tokens of the source. It gives elements and text nodes only, with attributes and classes
 * of the fixed sets below: nothing of the source ever becomes an attribute but a checked length. Whatever is not
 * understood, be it one command, refuses the whole, so that a reader sees either the formula or its source.
 * Its time is linear in the source's length, and its depth bounded.
 *
 * Of a formula that is still open, the end closes all that is open, and arguments that have not come are empty. What
 * cannot be shown by halves, as `\fra`, is left out.
 */

import { CLASSES, inAlphabet, SYMBOLS } from "./maths_symbols.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const DEEPEST = 50;
// Elements in one row, cells in a line and lines in a table: to insert n children into a row costs Chromium n².
const WIDEST = 500;

/**
 * An element, the class of its outer side (see `maths_symbols.js`; `op` is a named function, "" nothing to keep a
 * distance from), and whether its scripts are limits, above and below.
 *
 * @typedef {{node: Element, kind: string, limits?: boolean}} Atom
 * @typedef {object} Table
 * @property {string} [open] delimiter
 * @property {string} [close] delimiter
 * @property {string[]} [columns] each column's classes, again from the first where there are more columns
 * @property {boolean} [display] set as on a line of its own
 * @property {boolean} [small]
 * @property {string} [kind] class
 */

class NotUnderstood extends Error {}

/** An open formula ends where that leaves nothing to show of what it ends in. */
class Unfinished extends NotUnderstood {}

/** A command that may grow, the name of an environment, or a dollar sign whose second one has not come. */
const UNFINISHED_END = /(?<!\\)(?<pairs>(?:\\\\)*)\\(?:[a-zA-Z]*|(?:begin|end)\s*\{[^}\\]*)$|(?<!\\)\$$/;

/**
 * Return the formula, or null when any part of it is not understood.
 *
 * @param {string} source LaTeX between the dollar signs
 * @param {boolean} display on lines of its own
 * @param {{isOpen?: boolean}} [options] whether more of it may follow
 * @returns {Element | null} a `math` element, which also carries its source for copying
 */
export function mathElement(source, display, { isOpen = false } = {}) {
  try {
    const content = new Parser(isOpen ? source.replace(UNFINISHED_END, "$<pairs>") : source, isOpen).formula();
    const annotation = element("annotation", [source], { encoding: "application/x-tex" });
    return element("math", [element("semantics", [content, annotation])], display ? { display: "block" } : {});
  } catch (reason) {
    if (reason instanceof NotUnderstood) return null;
    throw reason;
  }
}

/**
 * @param {string} name
 * @param {(Element | string)[]} [children]
 * @param {Record<string, string>} [attributes]
 */
function element(name, children = [], attributes = {}) {
  const made = document.createElementNS(MATHML, name);
  made.append(...children);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** @param {Element[]} nodes */
function row(nodes) {
  return nodes.length === 1 && nodes[0] ? nodes[0] : element("mrow", nodes);
}

/** @param {string} width */
const space = (width) => element("mspace", [], { width });
const thinSpace = () => space("0.1667em");

/** @param {Element} node an operator that shall have no space around it */
function tighten(node) {
  node.setAttribute("lspace", "0");
  node.setAttribute("rspace", "0");
}

/**
 * @param {string | undefined} character undefined for none
 * @param {Record<string, string>} attributes
 */
function delimiters(character, attributes) {
  return character === undefined ? [] : [element("mo", [character], { stretchy: "true", ...attributes })];
}

/** @param {string} text */
function named(text) {
  return element("mi", [text], text.length === 1 ? { mathvariant: "normal" } : {});
}

/**
 * @param {Element} node
 * @param {string} [kind]
 * @returns {Atom}
 */
const atom = (node, kind = "ord") => ({ node, kind });

/** What ends a row of atoms; who asked for the row says whether that was the right one. */
const CLOSERS = new Set(["}", "&", "\\\\", "\\cr", "\\end", "\\right", "\\middle", "$"]);

/** Fences that `\left` and its like take besides the classes `open`, `close` and `fence`. */
const DELIMITERS = "/\\↑↓↕⇑⇓⇕";

/** Operators that would stretch where they are not asked to. */
const STRETCHES_UNASKED = "∣∥↑↓↕⇑⇓⇕";

// A comment, which takes its line's end along, but no percent sign after a digit; white space; a command; a character.
const TOKEN = /(?<!\d)%.*(?:\n\s*|$)|\s+|\\(?:[a-zA-Z]+|[^])|[^]\p{M}*/gu;

const LENGTH = /^\s*(\d{0,2}(?:\.\d{1,4})?)\s*(em|ex|pt|px|mm|cm|in|mu)\s*$/;

class Parser {
  /** @type {string[]} */
  #tokens;
  #at = 0;
  #isOpen;
  #depth = 0;
  /** More than 0 in scripts, where relations and operators stand close. */
  #script = 0;
  #alphabet = "";

  /**
   * @param {string} source
   * @param {boolean} isOpen
   */
  constructor(source, isOpen) {
    this.#isOpen = isOpen;
    // Characters that nobody sees must not hide in a formula.
    if (/(?![\n\r\t])\p{C}/u.test(source)) throw new NotUnderstood();
    this.#tokens = (source.normalize().match(TOKEN) ?? []).filter((token) => !/^%[^]/.test(token));
  }

  /** The whole. */
  formula() {
    const rows = this.rows(undefined);
    if (rows.some((cells) => cells.length > 1)) throw new NotUnderstood();
    const content = this.table(rows, {});
    if (!content.firstChild && !this.#isOpen) throw new NotUnderstood();
    return content;
  }

  // --- Tokens

  /** Return the next token that is no white space, and stay before it. */
  peek() {
    while (this.#tokens[this.#at]?.trim() === "") this.#at += 1;
    return this.#tokens[this.#at];
  }

  next() {
    const token = this.peek();
    if (token === undefined) throw this.#endsTooSoon();
    this.#at += 1;
    return token;
  }

  /** Whether all is read of a formula of which more may come: what is open counts as closed. */
  isCut() {
    return this.#isOpen && this.peek() === undefined;
  }

  #endsTooSoon() {
    return this.#isOpen ? new Unfinished() : new NotUnderstood();
  }

  /** @param {string} token */
  skip(token) {
    const there = this.peek() === token;
    if (there) this.#at += 1;
    return there;
  }

  /** @param {string} token */
  expect(token) {
    if (!this.skip(token) && !this.isCut()) throw new NotUnderstood();
  }

  /** Return the source of an argument in braces. */
  raw() {
    this.expect("{");
    const from = this.#at;
    for (let open = 1; open; this.#at += 1) {
      const token = this.#tokens[this.#at];
      if (token === undefined) throw this.#endsTooSoon();
      open += token === "{" ? 1 : token === "}" ? -1 : 0;
    }
    return this.#tokens.slice(from, this.#at - 1).join("");
  }

  // --- Recursion and its state

  /**
   * @template T
   * @param {() => T} parse
   */
  nested(parse) {
    if (this.#depth === DEEPEST) throw new NotUnderstood();
    this.#depth += 1;
    try {
      return parse();
    } finally {
      this.#depth -= 1;
    }
  }

  /**
   * @template T
   * @param {() => T} parse
   */
  inScript(parse) {
    this.#script += 1;
    try {
      return parse();
    } finally {
      this.#script -= 1;
    }
  }

  /**
   * @template T
   * @param {string} alphabet
   * @param {() => T} parse
   */
  within(alphabet, parse) {
    const before = this.#alphabet;
    this.#alphabet = alphabet;
    try {
      return parse();
    } finally {
      this.#alphabet = before;
    }
  }

  // --- Structure

  /**
   * Return the elements up to a closer, or to `stop`.
   *
   * @param {string} [stop]
   * @param {string} [before] the class of what stands before the row
   * @returns {Element[]}
   */
  row(stop, before = "") {
    /** @type {Element[]} */
    let nodes = [];
    let fences = 0;
    for (;;) {
      const token = this.peek();
      if (token === undefined || token === stop || CLOSERS.has(token)) return nodes;
      const infix = INFIX.get(token);
      if (infix) {
        this.next();
        return [infix(row(nodes), row(this.nested(() => this.row(stop))))];
      }
      const style = STYLES.get(token);
      if (style) {
        this.next();
        return [...nodes, element("mstyle", this.nested(() => this.row(stop, before)), style)];
      }
      const alphabet = OLD_ALPHABETS.get(token);
      if (alphabet) {
        this.next();
        return [...nodes, ...this.nested(() => this.within(alphabet, () => this.row(stop, before)))];
      }
      const found = this.#whole(() => this.scripted(this.atom(before, nodes.length === 0)));
      if (!found) continue;
      let { node, kind } = found;
      if (kind === "fence") {
        kind = (fences += 1) % 2 ? "open" : "close";
        if (node.localName === "mo") node.setAttribute("form", kind === "open" ? "prefix" : "postfix");
      }
      const last = nodes.at(-1);
      const character = kind === "rel" && node.localName === "mo" ? node.textContent : "";
      if (character && before === "rel" && last?.localName === "mo" && (last.textContent ?? "").length < 4) {
        // As TeX does: no space between two relations, as in `:=` or `<=`.
        last.textContent += character;
        continue;
      }
      if (/^(ord|close|op|dots) op$|^op (ord|op|dots)$/.test(`${before} ${kind}`)) nodes.push(thinSpace());
      const dots = /^dots (ord|open|dots)$|^(ord|close) dots$/.test(`${before} ${kind}`);
      if (dots && !this.#script) nodes.push(thinSpace());
      nodes.push(node);
      if (kind) before = kind;
      if (nodes.length > WIDEST) throw new NotUnderstood();
    }
  }

  /**
   * Return what `parse` does; nothing where an open formula ends before that is whole.
   *
   * @template T
   * @param {() => T} parse
   */
  #whole(parse) {
    try {
      return parse();
    } catch (reason) {
      if (!(reason instanceof Unfinished)) throw reason;
      this.#at = this.#tokens.length;
      return undefined;
    }
  }

  /** Return what is in the braces that come. */
  group() {
    this.expect("{");
    const nodes = this.row();
    this.expect("}");
    return row(nodes);
  }

  /** Return a command's argument or a script: a group or one atom. */
  argument() {
    return this.nested(() => {
      const token = this.peek();
      if (token === "{") return this.group();
      if (this.isCut()) return element("mrow");
      if (token === undefined || CLOSERS.has(token) || "^_'".includes(token)) throw new NotUnderstood();
      const found = /\d/.test(token) ? atom(this.number(this.next())) : this.atom("", false);
      if (!found) throw new NotUnderstood();
      return found.node;
    });
  }

  /** Return an argument in brackets, if one is there. */
  option() {
    if (!this.skip("[")) return undefined;
    const nodes = this.inScript(() => this.nested(() => this.row("]")));
    this.expect("]");
    return row(nodes);
  }

  /**
   * Return an atom with the scripts that follow it.
   *
   * @param {Atom | undefined} base
   */
  scripted(base) {
    if (!base) return undefined;
    /** @type {Element | undefined} */
    let below;
    /** @type {Element | undefined} */
    let above;
    let limits = base.limits;
    let primes = 0;
    for (;;) {
      if (this.skip("_")) {
        if (below) throw new NotUnderstood();
        below = this.inScript(() => this.argument());
      } else if (this.skip("^")) {
        if (above) throw new NotUnderstood();
        above = this.inScript(() => this.argument());
      } else if (!above && (this.skip("'") || this.skip("′"))) {
        primes += 1;
      } else if (this.skip("\\limits")) {
        limits = true;
        if (base.node.localName === "mo") base.node.setAttribute("movablelimits", "false");
      } else if (this.skip("\\nolimits")) {
        limits = false;
      } else if (!this.skip("\\displaylimits")) {
        break;
      }
    }
    if (primes) {
      const prime = element("mo", ["′".repeat(primes)]);
      tighten(prime);
      above = above ? element("mrow", [prime, above]) : prime;
    }
    if (!below && !above) return base;
    const [under, over, both] = limits ? ["munder", "mover", "munderover"] : ["msub", "msup", "msubsup"];
    const name = below && above ? both : below ? under : over;
    const node = element(name ?? "", [base.node, below, above].filter((part) => part !== undefined));
    return { node, kind: base.kind };
  }

  /**
   * Return the next atom without its scripts; undefined for a command that shows nothing.
   *
   * @param {string} before the class of what stands before it
   * @param {boolean} first in its row
   * @returns {Atom | undefined}
   */
  atom(before, first) {
    const token = this.peek() ?? "";
    // Scripts of nothing, as in `m$^2$`.
    if (token === "^" || token === "_" || token === "'") return atom(element("mrow"));
    if (token === "{") {
      const node = this.nested(() => this.group());
      if (node.localName === "mo") tighten(node);
      return atom(node);
    }
    this.next();
    if (/^\d/.test(token) || (token === "." && this.#digitAt(this.#at))) return atom(this.number(this.#digits(token)));
    const command = COMMANDS.get(token);
    return command ? command(this) : this.symbol(this.character(token), before, first);
  }

  /**
   * Return the character that a token stands for.
   *
   * @param {string} token
   */
  character(token) {
    const found = token[0] === "\\" ? SYMBOLS.get(token.slice(1)) : (PLAIN[token] ?? token);
    if (found === undefined || token === "#") throw new NotUnderstood();
    return found;
  }

  /** @param {number} at */
  #digitAt(at) {
    return /^\d/.test(this.#tokens[at] ?? "");
  }

  /** @param {string} text the number's first character */
  #digits(text) {
    for (; ; this.#at += 1) {
      const point = this.#tokens[this.#at] === "." && !text.includes(".") && this.#digitAt(this.#at + 1);
      if (!point && !this.#digitAt(this.#at)) return text;
      text += this.#tokens[this.#at];
    }
  }

  /** @param {string} text */
  number(text) {
    return element("mn", [this.#restyled(text)]);
  }

  /** @param {string} text */
  #restyled(text) {
    return Array.from(text, (character) => inAlphabet(character, this.#alphabet)).join("");
  }

  /**
   * @param {string} character
   * @param {string} before
   * @param {boolean} first
   * @returns {Atom}
   */
  symbol(character, before, first, kind = CLASSES.get(character)) {
    switch (kind) {
      case undefined:
        return this.identifier(character);
      case "ord":
        return atom(element("mi", [this.#restyled(character)]));
      case "upright":
        return atom(element("mi", [this.#restyled(character)], { mathvariant: "normal" }));
      case "dots":
        return atom(element("mi", [character]), "dots");
      case "big":
      case "int":
        return { node: element("mo", [character]), kind: "big", limits: kind === "big" };
    }
    const node = element("mo", [character]);
    if (STRETCHES_UNASKED.includes(character) || /open|close|fence/.test(kind)) node.setAttribute("stretchy", "false");
    if (kind === "tight") {
      tighten(node);
      return atom(node, character === "!" ? "close" : "ord");
    }
    // A sign: an operator with nothing on its left, TeX's rule.
    const sign = kind === "bin" && /^(|bin|rel|open|punct|op|big)$/.test(before);
    if (sign || (this.#script && /bin|rel|punct/.test(kind))) tighten(node);
    else if (kind === "bin" && first) node.setAttribute("form", "infix");
    return atom(node, sign ? "ord" : kind);
  }

  /** @param {string} character */
  identifier(character) {
    if (/^\p{N}/u.test(character)) return atom(this.number(character));
    if (!/^\p{L}/u.test(character)) return atom(element("mtext", [character]));
    let text = character;
    // A word is one identifier in an upright alphabet, and a product in the others.
    if (WORDS.has(this.#alphabet)) {
      for (; /^\p{L}/u.test(this.#tokens[this.#at] ?? ""); this.#at += 1) text += this.#tokens[this.#at];
    }
    text = this.#restyled(text);
    return atom(this.#alphabet === "normal" ? named(text) : element("mi", [text]));
  }

  /** Return the character of a delimiter; undefined for `.`, which is none. */
  delimiter() {
    const token = this.next();
    if (token === ".") return undefined;
    const character = { "<": "⟨", ">": "⟩", "\\lt": "⟨", "\\gt": "⟩" }[token] ?? this.character(token);
    const fence = /open|close|fence/.test(CLASSES.get(character) ?? "") || DELIMITERS.includes(character);
    if (!fence || token === "{" || token === "}") throw new NotUnderstood();
    return character;
  }

  /** What is between `\left` and `\right`; like a closing fence to its neighbours. */
  fenced() {
    /** @type {Element[]} */
    const nodes = delimiters(this.delimiter(), { form: "prefix" });
    for (;;) {
      nodes.push(...this.nested(() => this.row()));
      if (this.isCut()) return atom(element("mrow", nodes), "close");
      if (this.skip("\\right")) break;
      this.expect("\\middle");
      nodes.push(...delimiters(this.delimiter(), { form: "infix", lspace: "0.1667em", rspace: "0.1667em" }));
    }
    nodes.push(...delimiters(this.delimiter(), { form: "postfix" }));
    return atom(element("mrow", nodes), "close");
  }

  // --- Text

  /**
   * Return an argument of text, which may hold formulas between dollars.
   *
   * @param {string} [style] a class
   * @returns {Element[]}
   */
  text(style) {
    this.expect("{");
    /** @type {Element[]} */
    const nodes = [];
    let text = "";
    const flush = () => {
      if (text) nodes.push(element("mtext", [text], style ? { class: style } : {}));
      text = "";
    };
    for (let open = 1; ; ) {
      const token = this.#tokens[this.#at];
      if (token === undefined && this.#isOpen) break;
      if (token === undefined) throw new NotUnderstood();
      this.#at += 1;
      if (token === "{") open += 1;
      else if (token === "}") {
        if (!(open -= 1)) break;
      } else if (token === "$") {
        flush();
        const formula = this.nested(() => this.within("", () => this.row()));
        nodes.push(row(formula));
        this.expect("$");
      } else if (token[0] === "\\") {
        const inner = TEXT_STYLES.get(token);
        if (inner !== undefined) {
          flush();
          nodes.push(...this.nested(() => this.text(inner || style)));
        } else text += TEXT_SPACES.get(token) ?? this.character(token);
      } else {
        // A browser would drop spaces at an end, and a formula does not break.
        text += token.trim() ? (QUOTES[token] ?? token) : "\u00a0";
      }
    }
    flush();
    return nodes;
  }

  /** Return the argument of `\operatorname`. */
  operatorName() {
    const text = this.text()
      .map((node) => node.textContent)
      .join("");
    if (!text) throw this.isCut() ? new Unfinished() : new NotUnderstood();
    return text;
  }

  // --- Tables

  /**
   * Return rows of cells up to their end, which is taken.
   *
   * @param {string | undefined} end
   * @param {boolean} [aligned] whether every second cell goes on from the one before it
   */
  rows(end, aligned = false) {
    /** @type {Element[][]} */
    const rows = [];
    /** @type {Element[]} */
    let cells = [];
    let rule = this.#rules();
    for (;;) {
      const before = aligned && cells.length % 2 ? "ord" : "";
      const nodes = this.nested(() => this.row(undefined, before));
      cells.push(element("mtd", nodes));
      if (cells.length > WIDEST || rows.length > WIDEST) throw new NotUnderstood();
      const token = this.peek();
      if (token === "&") {
        this.next();
        continue;
      }
      const empty = cells.length === 1 && nodes.length === 0;
      // The empty row after the last `\\` is none.
      const isEnd = token === end || this.isCut();
      const last = empty && isEnd;
      if (!last) rows.push(cells);
      if (rule) for (const cell of rows.at(-1) ?? []) cell.classList.add(last ? "md-rule-after" : "md-rule");
      if (isEnd) {
        if (token !== undefined) this.next();
        return rows;
      }
      if (token !== "\\\\" && token !== "\\cr") throw new NotUnderstood();
      this.next();
      this.#lineGap();
      cells = [];
      rule = this.#rules();
    }
  }

  /** Take the rules above a row; return whether there are any. */
  #rules() {
    let any = false;
    for (;;) {
      if (this.skip("\\cline")) this.raw();
      else if (!this.skip("\\hline")) return any;
      any = true;
    }
  }

  /** Take the space that `\\[4pt]` asks for. */
  #lineGap() {
    this.skip("*");
    const ahead = this.#tokens.slice(this.#at, this.#at + 12);
    const close = ahead.indexOf("]");
    const isLast = this.#isOpen && this.#at + ahead.length === this.#tokens.length;
    if (isLast && /^\s*\[-?[\d.\s]*[a-z]*$/.test(ahead.join(""))) this.#at += ahead.length;
    else if (/^\s*\[-?[\d.\s]+[a-z]{2}\]$/.test(ahead.slice(0, close + 1).join(""))) this.#at += close + 1;
  }

  /**
   * @param {Element[][]} rows of `mtd`
   * @param {Table} table
   */
  table(rows, { open, close, columns = [], display, small, kind }) {
    const only = rows.length === 1 && rows[0]?.length === 1 ? rows[0][0] : undefined;
    // One cell that nothing is to be lined up with is no table.
    if (only && !open && !close && kind !== "md-array") return row([...only.children]);
    for (const cells of rows) {
      cells.forEach((cell, column) => {
        const name = columns[column % columns.length];
        if (name) cell.classList.add(...name.split(" "));
      });
    }
    const node = element(
      "mtable",
      rows.map((cells) => element("mtr", cells)),
      {
        ...(kind && { class: kind }),
        ...(display && { displaystyle: "true" }),
        ...(small && { scriptlevel: "1" }),
      },
    );
    if (!open && !close) return node;
    return element("mrow", [...delimiters(open, { form: "prefix" }), node, ...delimiters(close, { form: "postfix" })]);
  }

  /** What is between `\begin` and `\end`. */
  environment() {
    const name = this.raw();
    let table = ENVIRONMENTS.get(name.replace(/\*$/, ""));
    if (!table) throw new NotUnderstood();
    if (/array$/.test(name)) table = { ...table, columns: this.#columns() };
    if (/matrix\*$/.test(name) && this.skip("[")) {
      table = { ...table, columns: [SIDES[this.next()] ?? ""] };
      this.expect("]");
    }
    if (/^alignat|^alignedat/.test(name)) this.raw();
    const rows = this.rows("\\end", table.kind === "md-aligned");
    if (!this.isCut() && this.raw() !== name) throw new NotUnderstood();
    return atom(this.table(rows, table));
  }

  /** Return the classes of an array's columns, from its `{l|cr}`. */
  #columns() {
    const columns = this.raw().replace(/@\{[^{}]*\}|\s/g, "");
    if (!/^\|*([lcr]\|*)+$/.test(columns)) throw new NotUnderstood();
    return Array.from(columns.matchAll(/(\|*)([lcr])(\|*$)?/g), ([, before, side, after]) =>
      [SIDES[side ?? ""], before && "md-line", after && "md-line-after"].filter(Boolean).join(" "),
    );
  }
}

// --- What the commands do. Maps, because a command may be called `constructor`.

/** @typedef {(parser: Parser) => Atom | undefined} Command */

/**
 * @template T
 * @param {Record<string, T>} table by names without their backslash
 * @returns {Map<string, T>}
 */
const commands = (table) => new Map(Object.entries(table).map(([name, value]) => [`\\${name}`, value]));

/** @type {Record<string, string>} */
const PLAIN = { "-": "−", "*": "∗" };

/** @type {Record<string, string>} */
const QUOTES = { "'": "’", "`": "‘", "~": "\u00a0" };

/** @type {Record<string, string | undefined>} */
const SIDES = { l: "md-left", r: "md-right", c: "" };

const STYLES = commands({
  displaystyle: { displaystyle: "true", scriptlevel: "0" },
  textstyle: { displaystyle: "false", scriptlevel: "0" },
  scriptstyle: { displaystyle: "false", scriptlevel: "1" },
  scriptscriptstyle: { displaystyle: "false", scriptlevel: "2" },
});

const ALPHABETS = commands({
  mathrm: "normal",
  mathnormal: "",
  mathbf: "bold",
  mathit: "italic",
  boldsymbol: "boldItalic",
  bm: "boldItalic",
  pmb: "boldItalic",
  mathcal: "script",
  mathscr: "script",
  mathfrak: "fraktur",
  bold: "bold",
  frak: "fraktur",
  mathbb: "double",
  mathbbm: "double",
  Bbb: "double",
  mathds: "double",
  mathsf: "sans",
  mathtt: "mono",
});

const OLD_ALPHABETS = commands({ rm: "normal", bf: "bold", it: "italic", cal: "script", sf: "sans", tt: "mono" });

/** The alphabets whose neighbouring letters are one word. */
const WORDS = new Set(["normal", "bold", "italic", "sans", "mono"]);

const TEXT_STYLES = commands({
  text: "",
  textrm: "",
  textnormal: "",
  textup: "",
  mbox: "",
  hbox: "",
  textbf: "md-bold",
  textit: "md-italic",
  emph: "md-italic",
  textsf: "md-sans",
  texttt: "md-mono",
});

const TEXT_SPACES = commands({
  " ": "\u00a0",
  ",": "\u2009",
  ":": "\u2005",
  ";": "\u2004",
  "!": "",
  quad: "\u2003",
});

/** In em. */
const SPACES = commands({
  ",": 0.1667,
  thinspace: 0.1667,
  ":": 0.2222,
  ">": 0.2222,
  medspace: 0.2222,
  ";": 0.2778,
  thickspace: 0.2778,
  " ": 0.25,
  "\n": 0.25,
  enspace: 0.5,
  enskip: 0.5,
  quad: 1,
  qquad: 2,
}).set("~", 0.25);

const FUNCTIONS =
  "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth sech csch log ln lg exp arg deg dim hom ker " +
  "sgn tr Tr rank diag Var Cov";

const LIMITS = "lim max min sup inf limsup liminf det gcd lcm Pr argmax argmin";

/** Accents; true for those that grow with what they are over. @type {Record<string, [string, boolean]>} */
const ACCENTS = {
  hat: ["^", false],
  check: ["ˇ", false],
  tilde: ["~", false],
  acute: ["´", false],
  grave: ["`", false],
  dot: ["˙", false],
  ddot: ["¨", false],
  dddot: ["⃛", false],
  breve: ["˘", false],
  bar: ["¯", false],
  vec: ["→", false],
  mathring: ["˚", false],
  widehat: ["^", true],
  widetilde: ["~", true],
  overline: ["‾", true],
  overrightarrow: ["→", true],
  overleftarrow: ["←", true],
  overleftrightarrow: ["↔", true],
  overbrace: ["⏞", true],
  overbracket: ["⎴", true],
};

/** @type {Record<string, string>} */
const UNDER_ACCENTS = {
  underline: "_",
  underbrace: "⏟",
  underbracket: "⎵",
  underrightarrow: "→",
  underleftarrow: "←",
};

/** @type {Record<string, string>} */
const LABELLED_ARROWS = {
  xrightarrow: "→",
  xleftarrow: "←",
  xleftrightarrow: "↔",
  xRightarrow: "⇒",
  xLeftarrow: "⇐",
  xLeftrightarrow: "⇔",
  xmapsto: "↦",
  xhookrightarrow: "↪",
  xrightleftharpoons: "⇌",
  xlongequal: "=",
};

/** In em. @type {Record<string, string>} */
const BIG = { big: "1.2em", Big: "1.8em", bigg: "2.4em", Bigg: "3em" };

/** @type {Map<string, Table>} */
const ENVIRONMENTS = new Map(
  Object.entries({
    matrix: {},
    pmatrix: { open: "(", close: ")" },
    bmatrix: { open: "[", close: "]" },
    Bmatrix: { open: "{", close: "}" },
    vmatrix: { open: "|", close: "|" },
    Vmatrix: { open: "‖", close: "‖" },
    smallmatrix: { small: true },
    array: { kind: "md-array" },
    subarray: { small: true },
    cases: { open: "{", columns: ["md-left"], kind: "md-cases" },
    dcases: { open: "{", columns: ["md-left"], kind: "md-cases", display: true },
    rcases: { close: "}", columns: ["md-left"], kind: "md-cases" },
    ...Object.fromEntries(
      ["aligned", "align", "split", "alignat", "alignedat", "flalign", "eqnarray"].map((name) => [
        name,
        { kind: "md-aligned", display: true },
      ]),
    ),
    ...Object.fromEntries(
      ["gathered", "gather", "equation", "multline", "displaymath", "math"].map((name) => [name, { display: true }]),
    ),
  }),
);

/** @param {string} name with or without its star */
export const isEnvironment = (name) => ENVIRONMENTS.has(name.replace(/\*$/, ""));

/**
 * @param {Element} above
 * @param {Element} below
 * @param {Record<string, string>} [attributes]
 */
const fraction = (above, below, attributes) => element("mfrac", [above, below], attributes);

/**
 * @param {Element} above
 * @param {Element} below
 * @param {Record<string, string>} [style]
 */
function binomial(above, below, style) {
  const stack = [fraction(above, below, { linethickness: "0", ...style })];
  return element("mrow", [...delimiters("(", { form: "prefix" }), ...stack, ...delimiters(")", { form: "postfix" })]);
}

/** @type {Map<string, (above: Element, below: Element) => Element>} */
const INFIX = commands({
  over: fraction,
  choose: binomial,
  atop: (above, below) => fraction(above, below, { linethickness: "0" }),
});

/**
 * @param {string} text
 * @param {boolean} limits
 * @returns {Atom}
 */
function operator(text, limits) {
  if (!limits) return atom(named(text), "op");
  return { node: element("mo", [text], { movablelimits: "true", lspace: "0", rspace: "0" }), kind: "op", limits };
}

/** @param {Element} label above or below what is to be wider than it */
const padded = (label) => element("mrow", [space("0.4em"), label, space("0.4em")]);

/**
 * Put a mark on an operator's or another thing's head or feet; it keeps the class of what carries it.
 *
 * @param {"mover" | "munder"} name
 * @returns {Command}
 */
const stacked = (name) => (parser) => {
  const mark = parser.inScript(() => parser.argument());
  const base = parser.argument();
  const moving = [base, ...base.querySelectorAll("*")].filter((node) => node.hasAttribute("movablelimits"));
  for (const node of moving) node.setAttribute("movablelimits", "false");
  const word = base.localName === "mi" && (base.textContent ?? "").length > 1;
  const kind = moving.length || word ? "op" : base.localName === "mo" ? "rel" : "ord";
  // The space beside a relation is below its mark.
  const isWide = kind === "rel" && (mark.textContent ?? "").length > 1;
  return atom(element(name, [base, isWide ? padded(mark) : mark]), kind);
};

/**
 * @param {string} character
 * @returns {Command}
 */
const labelledArrow = (character) => (parser) => {
  const below = parser.option();
  const above = parser.inScript(() => parser.argument());
  const [under, over] = [below, above].map((label) => label && padded(label));
  const arrow = element("mo", [character], { stretchy: "true" });
  if (!under) return atom(element("mover", [arrow, over ?? ""]), "rel");
  return atom(element("munderover", [arrow, under, over ?? ""]), "rel");
};

/**
 * @param {string} minsize
 * @param {string} side of `\bigl`, `\bigr`, `\bigm` or none
 * @returns {Command}
 */
const bigDelimiter = (minsize, side) => (parser) => {
  const character = parser.delimiter();
  const gap = side === "m" ? "0.2778em" : "0";
  const attributes = { symmetric: "true", minsize, maxsize: minsize, lspace: gap, rspace: gap };
  const own = CLASSES.get(character ?? "") ?? "ord";
  const kind = { l: "open", r: "close", m: "rel" }[side] ?? (/open|close|fence/.test(own) ? own : "ord");
  // In a row of its own, because a script's base gets no size.
  return atom(element("mrow", delimiters(character, attributes)), kind);
};

/**
 * @param {string} name
 * @param {Record<string, string>} [attributes]
 * @returns {Command}
 */
const wrapped = (name, attributes) => (parser) => atom(element(name, [parser.argument()], attributes));

/**
 * @param {string} open
 * @param {string} close
 * @returns {Command}
 */
const between = (open, close) => (parser) => {
  const inside = [...delimiters(open, { form: "prefix" }), parser.argument(), ...delimiters(close, { form: "postfix" })];
  return atom(element("mrow", inside), "close");
};

/** @type {Map<string, Command>} */
const COMMANDS = commands(
  /** @type {Record<string, Command>} */ ({
    frac: (parser) => atom(fraction(parser.argument(), parser.argument())),
    dfrac: (parser) => atom(fraction(parser.argument(), parser.argument(), { displaystyle: "true" })),
    tfrac: (parser) => atom(fraction(parser.argument(), parser.argument(), { displaystyle: "false" })),
    binom: (parser) => atom(binomial(parser.argument(), parser.argument())),
    dbinom: (parser) => atom(binomial(parser.argument(), parser.argument(), { displaystyle: "true" })),
    tbinom: (parser) => atom(binomial(parser.argument(), parser.argument(), { displaystyle: "false" })),
    sqrt: (parser) => {
      const index = parser.option();
      const radicand = parser.argument();
      return atom(index ? element("mroot", [radicand, index]) : element("msqrt", [radicand]));
    },
    left: (parser) => parser.fenced(),
    begin: (parser) => parser.environment(),
    substack: (parser) => {
      parser.expect("{");
      return atom(parser.table(parser.rows("}"), { kind: "md-substack" }));
    },
    overset: stacked("mover"),
    stackrel: stacked("mover"),
    underset: stacked("munder"),
    not: (parser) => {
      const character = parser.character(parser.next());
      if (CLASSES.get(character) !== "rel") throw new NotUnderstood();
      return parser.symbol(`${character}\u0338`.normalize(), "", false, "rel");
    },
    dots: (parser) => {
      // Raised between operators.
      const next = parser.peek() ?? "";
      const kind = CLASSES.get(SYMBOLS.get(next.slice(1)) ?? PLAIN[next] ?? next) ?? "";
      return parser.symbol(/bin|rel/.test(kind) ? "⋯" : "…", "", false);
    },
    colon: () => atom(element("mo", [":"], { lspace: "0", rspace: "0.2778em" }), "punct"),
    operatorname: (parser) => {
      const limits = parser.skip("*");
      return operator(parser.operatorName(), limits);
    },
    mathop: (parser) => ({ node: parser.argument(), kind: "op", limits: true }),
    bmod: () => atom(element("mo", ["mod"]), "bin"),
    mod: (parser) => atom(element("mrow", [space("1em"), named("mod"), space("0.3333em"), parser.argument()])),
    pmod: (parser) => {
      const inside = [named("mod"), space("0.3333em"), parser.argument()];
      const [open, close] = [parser.symbol("(", "", true).node, parser.symbol(")", "", false).node];
      return atom(element("mrow", [space("0.5em"), open, ...inside, close]), "close");
    },
    boxed: wrapped("mrow", { class: "md-boxed" }),
    cancel: wrapped("mrow", { class: "md-cancel" }),
    bcancel: wrapped("mrow", { class: "md-cancel" }),
    xcancel: wrapped("mrow", { class: "md-cancel" }),
    cancelto: (parser) => {
      const value = parser.inScript(() => parser.argument());
      return atom(element("msup", [element("mrow", [parser.argument()], { class: "md-cancel" }), value]));
    },
    bra: between("⟨", "|"),
    ket: between("|", "⟩"),
    braket: between("⟨", "⟩"),
    abs: between("|", "|"),
    norm: between("‖", "‖"),
    phantom: wrapped("mphantom"),
    vphantom: (parser) => atom(element("mpadded", [element("mphantom", [parser.argument()])], { width: "0" })),
    tag: (parser) => {
      const bare = parser.skip("*");
      const text = parser.text();
      const parts = bare ? text : [element("mtext", ["("]), ...text, element("mtext", [")"])];
      return atom(element("mrow", [space("2em"), ...parts]), "");
    },
    // Colours are the page's own.
    textcolor: (parser) => {
      parser.raw();
      return atom(parser.argument());
    },
    hspace: (parser) => {
      parser.skip("*");
      const [, size, unit] = LENGTH.exec(parser.raw()) ?? [];
      if (!size) throw new NotUnderstood();
      return atom(space(unit === "mu" ? `${Number(size) / 18}em` : `${size}${unit}`), "");
    },
    "!": () => atom(element("mspace", [], { class: "md-back" }), ""),
    negthinspace: () => atom(element("mspace", [], { class: "md-back" }), ""),
  }),
);

for (const name of ["color", "label"]) COMMANDS.set(`\\${name}`, (parser) => void parser.raw());
const UNSEEN = "nonumber notag allowbreak nobreak strut mathstrut tiny small normalsize large Large LARGE huge Huge";
for (const name of UNSEEN.split(" ")) COMMANDS.set(`\\${name}`, () => undefined);
for (const name of ["rel", "bin", "ord", "open", "close", "punct", "inner"]) {
  COMMANDS.set(`\\math${name}`, wrapped("mrow"));
}
COMMANDS.set("\\smash", wrapped("mrow"));
COMMANDS.set("\\cfrac", /** @type {Command} */ (COMMANDS.get("\\dfrac")));
COMMANDS.set("\\nicefrac", /** @type {Command} */ (COMMANDS.get("\\tfrac")));
for (const [name, em] of SPACES) COMMANDS.set(name, () => atom(space(`${em}em`), ""));
for (const [name, style] of TEXT_STYLES) COMMANDS.set(name, (parser) => atom(row(parser.text(style))));
for (const [name, alphabet] of ALPHABETS) {
  COMMANDS.set(name, (parser) => atom(parser.within(alphabet, () => parser.argument())));
}
for (const name of FUNCTIONS.split(" ")) COMMANDS.set(`\\${name}`, () => operator(name, false));
for (const name of LIMITS.split(" ")) {
  const text = name.replace(/^(lim|arg)(?=...)/, "$1\u2009");
  COMMANDS.set(`\\${name}`, () => operator(text, true));
}
/** Lines, which the style sheet draws. @type {Record<string, string>} */
const ACCENT_CLASSES = { overline: "md-overline", underline: "md-underline" };

/**
 * @param {"mover" | "munder"} tag
 * @param {string} name
 * @param {string} mark
 * @param {boolean} wide
 */
function defineAccent(tag, name, mark, wide) {
  const drawn = ACCENT_CLASSES[name];
  const attributes = { [tag === "mover" ? "accent" : "accentunder"]: "true", ...(drawn && { class: drawn }) };
  COMMANDS.set(`\\${name}`, (parser) => {
    const sign = element("mo", [mark], { stretchy: String(wide), ...(name === "vec" && { class: "md-vec" }) });
    return { ...atom(element(tag, [parser.argument(), sign], attributes)), limits: /brac/.test(name) };
  });
}

for (const [name, [mark, wide]] of Object.entries(ACCENTS)) defineAccent("mover", name, mark, wide);
for (const [name, mark] of Object.entries(UNDER_ACCENTS)) defineAccent("munder", name, mark, true);
for (const [name, character] of Object.entries(LABELLED_ARROWS)) COMMANDS.set(`\\${name}`, labelledArrow(character));
for (const [name, size] of Object.entries(BIG)) {
  for (const side of ["", "l", "r", "m"]) COMMANDS.set(`\\${name}${side}`, bigDelimiter(size, side));
}
