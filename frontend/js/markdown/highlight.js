/**
 * Colours code that is still arriving, through the CSS Custom Highlight API: the code stays plain text nodes.
 *
 * `createHighlighter(language)` gives null where the browser or the language has none; otherwise call `grow(group, text)`
 * whenever `text`, a text node in `group`, has grown: in order, at most once per frame, the older texts being final. A
 * line that goes on in another text node is one line. Each line is lexed when it is complete, an unfinished one anew
 * each time.
 *
 * Chromium finds the place of every registered range again after any change of the document, wherever it was: some
 * 6 µs for each. So only the groups on the screen have ranges, and a piece that follows another of its class is one
 * with it.
 */

import { LANGUAGES } from "./languages.js";

/** @typedef {import("./languages.js").TokenClass} TokenClass */
/** @typedef {import("./languages.js").LanguageTable} LanguageTable */

/** Longer lines stay plain. Nobody reads them, and the last line is lexed again with each frame. */
const LONGEST_LINE = 2000;
const DEEPEST = 50;

/** @type {TokenClass[]} */
const CLASSES = ["comment", "string", "number", "keyword", "constant", "function", "type", "property", "tag"];

/**
 * @typedef {object} Mode
 * @property {number} fill a class, or -1
 * @property {RegExp} pattern all rules; group n is the nth rule
 * @property {{kind: number, move: string, target: string}[]} rules kind: a class, -1 none, -2 ask the words
 */
/** @typedef {{first: Mode, modes: Map<string, Mode>, words: Map<string, number>, defines: Map<string, number>, ignoreCase: boolean}} Language */
/** @typedef {{mode: Mode, until: string, outer: State | null, depth: number}} State where a line begins, or goes on */

/** Tokens are triples of start, end and class, laid out in one array. @typedef {number[]} Tokens */
/**
 * @typedef {object} Stretch one text node
 * @property {Text} text
 * @property {Tokens} tokens
 * @property {{range: StaticRange, highlight: Highlight | undefined}[]} ranges one for each token, while they are shown
 */
/** @typedef {{stretches: Stretch[], shown: boolean}} Group */

/** @param {string} kind */
const number = (kind) => CLASSES.indexOf(/** @type {TokenClass} */ (kind));

/** @param {{[kind in TokenClass]?: string}} [table] */
const index = (table = {}) =>
  new Map(Object.entries(table).flatMap(([kind, words]) => words.split(" ").map((word) => [word, number(kind)])));

/** @type {Map<LanguageTable, Language>} */
const compiled = new Map();

/** @param {LanguageTable} table */
function compile(table) {
  let language = compiled.get(table);
  if (!language) {
    const modes = new Map(
      Object.entries(table.modes).map(([name, { fill, rules }]) => [
        name,
        {
          fill: fill ? number(fill) : -1,
          pattern: new RegExp(rules.map(([, { source }]) => `(${source})`).join("|") || "(?!)", "g"),
          rules: rules.map(([kind, , move = ""]) => ({
            kind: kind === "word" ? -2 : number(kind),
            move: move.slice(0, 1),
            target: move.slice(1),
          })),
        },
      ]),
    );
    const [first] = modes.values();
    if (!first) throw new Error("a language without a mode");
    const { words, defines, ignoreCase = false } = table;
    language = { first, modes, words: index(words), defines: index(defines), ignoreCase };
    compiled.set(table, language);
  }
  return language;
}

/**
 * Append the line's tokens to `tokens`, and return the state after it.
 *
 * @param {Language} language
 * @param {string} line without its line feed
 * @param {State} state
 * @param {(start: number, end: number, kind: number) => void} emit
 * @returns {State}
 */
function lex(language, line, state, emit) {
  if (line.length > LONGEST_LINE) return state;
  if (state.until && line.trim() === state.until) {
    emit(0, line.length, state.mode.fill);
    return state.outer ?? state;
  }
  let heredoc = "";
  let next = -1; // the class of a word that comes next, after one that defines
  let nextAt = 0;
  let at = 0;
  /** @param {Mode | undefined} mode @param {string} [until] */
  const enter = (mode, until = "") => {
    if (mode && state.depth < DEEPEST) state = { mode, until, outer: state, depth: state.depth + 1 };
  };
  for (;;) {
    const { fill, pattern, rules } = state.mode;
    pattern.lastIndex = at;
    const match = pattern.exec(line);
    const start = match ? match.index : line.length;
    if (fill >= 0 && start > at) emit(at, start, fill);
    if (!match) break;
    const found = match[0];
    at = start + found.length;
    let which = 1;
    while (match[which] === undefined) which++;
    const rule = rules[which - 1];
    if (!rule) break;
    let { kind } = rule;
    if (kind === -2) {
      const word = language.ignoreCase ? found.toLowerCase() : found;
      kind = language.words.get(word) ?? (line.slice(nextAt, start).trim() ? -1 : next);
      next = language.defines.get(word) ?? -1;
      nextAt = at;
    }
    if (kind >= 0) emit(start, at, kind);
    if (rule.move === "<") heredoc = /\w+/.exec(found)?.[0] ?? "";
    else {
      if (rule.move === "-" || rule.move === "=") state = state.outer ?? state;
      if (rule.target) enter(language.modes.get(rule.target));
    }
    if (!found && !rule.move) at++;
  }
  if (heredoc) enter(language.modes.get("heredoc"), heredoc);
  return state;
}

/** @type {Highlight[]} */
let highlights = [];
/** @type {WeakMap<Element, Group>} */
const groups = new WeakMap();
/** @type {IntersectionObserver | undefined} */
let observer;

/** Make what all highlighters share, and return whether the browser can. */
function prepare() {
  if (typeof Highlight === "undefined" || !CSS.highlights) return false;
  if (!observer) {
    highlights = CLASSES.map((kind) => {
      const highlight = new Highlight();
      CSS.highlights.set(`md-${kind}`, highlight);
      return highlight;
    });
    observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const group = groups.get(target);
        if (!group) continue;
        group.shown = isIntersecting;
        for (const stretch of group.stretches) (isIntersecting ? show : hide)(stretch, 0);
      }
    });
  }
  return true;
}

/**
 * Let the ranges be those of the tokens, of which the first `same` triples have not changed.
 *
 * @param {Stretch} stretch
 * @param {number} same
 */
function show(stretch, same) {
  const { text, tokens, ranges } = stretch;
  hide(stretch, same);
  for (let i = ranges.length * 3; i < tokens.length; i += 3) {
    const [startOffset = 0, endOffset = 0, kind = 0] = [tokens[i], tokens[i + 1], tokens[i + 2]];
    const range = new StaticRange({ startContainer: text, startOffset, endContainer: text, endOffset });
    const highlight = highlights[kind];
    highlight?.add(range);
    ranges.push({ range, highlight });
  }
}

/**
 * Drop all ranges but the first `kept`.
 *
 * @param {Stretch} stretch
 * @param {number} kept
 */
function hide({ ranges }, kept) {
  for (const { range, highlight } of ranges.splice(kept)) highlight?.delete(range);
}

/**
 * @param {string} name as in a fence's info string; aliases and capitals are known
 * @returns {{grow(group: Element, text: Text): void} | null}
 */
export function createHighlighter(name) {
  const table = LANGUAGES.get(name.toLowerCase());
  if (!table || !prepare()) return null;
  const language = compile(table);
  /** The state where the unfinished line began. @type {State} */
  let state = { mode: language.first, until: "", outer: null, depth: 0 };
  let after = state; // what has come
  /** What the unfinished line has in earlier text nodes. */
  let before = "";
  let lineStart = 0;
  let scanned = 0; // no line feed between lineStart and here
  let settled = 0; // so many of the tokens are of complete lines,
  let settledEnd = 0; // and there the last of them ended
  /** @type {Group | undefined} */
  let group;
  /** @type {Stretch | undefined} */
  let stretch;

  /** @param {Element} element @param {Text} text */
  function begin(element, text) {
    const last = group;
    group = groups.get(element);
    if (!group) {
      // Until the observer has been asked, it is where the one before it is.
      group = { stretches: [], shown: last?.shown ?? false };
      groups.set(element, group);
      observer?.observe(element);
    }
    if (group === last && stretch) {
      // A character stands for what is between the text nodes.
      before = (before + stretch.text.data.slice(lineStart)).slice(0, LONGEST_LINE) + "\ufffc";
    } else {
      before = "";
      state = after;
    }
    stretch = { text, tokens: [], ranges: [] };
    group.stretches.push(stretch);
    lineStart = scanned = settled = settledEnd = 0;
    return stretch;
  }

  return {
    grow(element, text) {
      const current = text === stretch?.text ? stretch : begin(element, text);
      const { tokens } = current;
      const { data } = text;
      const same = Math.max(0, settled / 3 - 1);
      tokens.length = settled;
      if (settled) tokens[settled - 2] = settledEnd;

      /** @param {number} end */
      const lexLine = (end) =>
        lex(language, before + data.slice(lineStart, end), state, (start, stop, kind) => {
          const from = lineStart + Math.max(0, start - before.length);
          const to = lineStart + stop - before.length;
          const last = tokens.length - 3;
          if (to <= from) return;
          if (tokens[last + 2] === kind && !data.slice(tokens[last + 1], from).trim()) tokens[last + 1] = to;
          else tokens.push(from, to, kind);
        });

      for (let end; (end = data.indexOf("\n", scanned)) >= 0; ) {
        after = state = lexLine(end);
        before = "";
        lineStart = scanned = end + 1;
        settled = tokens.length;
        settledEnd = tokens[settled - 2] ?? 0;
      }
      scanned = data.length;
      if (lineStart < data.length && data.length - lineStart <= LONGEST_LINE) after = lexLine(data.length);
      if (group?.shown) show(current, same);
    },
  };
}
