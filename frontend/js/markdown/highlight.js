/**
 * Colours code that is still arriving, through the CSS Custom Highlight API: the code stays plain text nodes.
 *
 * `createHighlighter(language)` gives null where the browser or the language has none; otherwise call `grow(group, text)`
 * whenever `text`, a text node in `group`, has grown: in order, the older texts being final but for an unfinished line,
 * which may be taken back. A group ends with a line; within it a line may go on in the next text node. A line is lexed
 * once when it is complete, an unfinished one anew each time.
 *
 * Chromium places and paints every registered range again after any change of the document, wherever it was: 6 to 15 µs
 * for each. So only the groups on the screen have ranges, and a piece that follows another of its class is one
 * with it.
 */

import { LANGUAGES } from "./languages.js";

/** @typedef {import("./languages.js").TokenClass} TokenClass */
/** @typedef {import("./languages.js").LanguageTable} LanguageTable */

/** Longer lines stay plain. Nobody reads them, and the last line is lexed again with each frame. */
const LONGEST_LINE = 2000;
const DEEPEST = 50;

/** @type {TokenClass[]} */
const CLASSES = [
  "comment", "string", "number", "keyword", "constant", "function", "type", "property", "tag", "inserted", "deleted",
];

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
 * @property {string} before what its unfinished line has in earlier text nodes
 * @property {number} lineStart where its unfinished line begins
 * @property {number} settled so many of the tokens' numbers are of complete lines,
 * @property {number} settledEnd and there the last of these tokens ended
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
 * Emit the line's tokens in order, and return the state after it.
 *
 * @param {Language} language
 * @param {string} line without its line feed
 * @param {State} state
 * @param {(start: number, end: number, kind: number) => void} emit
 * @returns {State}
 */
function lex(language, line, state, emit) {
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
  // Whatever a style sheet says, a browser would then colour them like a selection.
  if (matchMedia("(forced-colors: active)").matches) return false;
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
  /** @type {Group | undefined} */
  let group;
  /** @type {WeakSet<Text>} */
  const known = new WeakSet();

  /** @param {Element} element */
  function groupOf(element) {
    let found = groups.get(element);
    if (!found) {
      // Until the observer has been asked, it is where the one before it is.
      found = { stretches: [], shown: group?.shown ?? false };
      groups.set(element, found);
      observer?.observe(element);
    }
    return found;
  }

  return {
    grow(element, text) {
      group = groupOf(element);
      const { stretches, shown } = group;
      let stretch = stretches.at(-1);
      // What was drawn of an unfinished line may have been taken back.
      for (; stretch && stretch.text.parentNode !== element; stretch = stretches.at(-1)) {
        hide(stretch, 0);
        stretches.pop();
      }
      if (stretch?.text !== text) {
        if (known.has(text)) return;
        known.add(text);
        stretch = { text, before: lineBefore(text), lineStart: 0, settled: 0, settledEnd: 0, tokens: [], ranges: [] };
        stretches.push(stretch);
      }
      const same = Math.max(0, stretch.settled / 3 - 1);
      state = advance(language, stretch, state);
      if (shown) show(stretch, same);
    },
  };
}

/**
 * Lex what is new, and return the state where the unfinished line begins.
 *
 * @param {Language} language
 * @param {Stretch} stretch
 * @param {State} state
 */
function advance(language, stretch, state) {
  const { tokens } = stretch;
  const { data } = stretch.text;
  /** @param {number} end */
  const lexLine = (end) => {
    const { before, lineStart } = stretch;
    if (before.length + end - lineStart > LONGEST_LINE) return state;
    return lex(language, before + data.slice(lineStart, end), state, (start, stop, kind) => {
      const from = lineStart + Math.max(0, start - before.length);
      const to = lineStart + stop - before.length;
      const last = tokens.length - 3;
      if (to <= from) return;
      if (tokens[last + 2] === kind && !data.slice(tokens[last + 1], from).trim()) tokens[last + 1] = to;
      else tokens.push(from, to, kind);
    });
  };
  tokens.length = stretch.settled;
  if (stretch.settled) tokens[stretch.settled - 2] = stretch.settledEnd;
  for (let end; (end = data.indexOf("\n", stretch.lineStart)) >= 0; ) {
    state = lexLine(end);
    stretch.before = "";
    stretch.lineStart = end + 1;
    stretch.settled = tokens.length;
    stretch.settledEnd = tokens[tokens.length - 2] ?? 0;
  }
  if (stretch.lineStart < data.length) lexLine(data.length);
  return state;
}

/** What the line has before this text node; a character stands for each element. @param {Text} text */
function lineBefore(text) {
  let before = "";
  for (let node = text.previousSibling; node && before.length <= LONGEST_LINE; node = node.previousSibling) {
    const data = node instanceof Text ? node.data : "\ufffc";
    const start = data.lastIndexOf("\n") + 1;
    before = data.slice(start) + before;
    if (start > 0) break;
  }
  return before;
}
