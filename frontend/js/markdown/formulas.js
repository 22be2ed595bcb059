/**
 * Where a formula begins and ends in Markdown, whose own specifications have none.
 *
 * A formula stands between `$`, `$$`, `\(` and `\)`, or `\[` and `\]`, and holds no backtick, for code comes first.
 * - `$…$` as in Pandoc: no space inside of either `$`, no digit after the last, which keeps "$5 or $6" text; and no
 *   separator before it and a name after it, which keeps `$HOME/$USER`.
 * - CommonMark reads `\(` and `\[` as brackets without a meaning. They are a formula's if it has an end, and something
 *   to calculate with: a letter, a digit or a sign. Nothing with that in it is an example of CommonMark's.
 * - Two words beside each other are prose, as in "$5 each and 10$" or "\(see below\)", if they stand in no braces.
 * - On lines of its own it is a block, also between `\begin{align}` and `\end{align}` and their like.
 *
 * Of what has no end yet, all but `$` are certain enough; what follows a `$` must look like a formula.
 */

import { isEnvironment } from "./maths.js";
import { match } from "./scan.js";

/** @typedef {"$" | "$$" | "\\(" | "\\["} Mark */

/** The next end, or what no formula holds: its beginning once more, or code. */
const ENDS = {
  $: /(?<!\\)\$|`/g,
  $$: /\$\$|`/g,
  "\\(": /(?<!\\)(?:\\\\)*\\[()]|`/g,
  "\\[": /(?<!\\)(?:\\\\)*\\[[\]]|`/g,
};
const CLOSING = { $: "$", $$: "$$", "\\(": "\\)", "\\[": "\\]" };
const CALCULABLE = /[\p{L}\p{N}=<>+*/-]/u;
const GROUP = /\{[^{}]*\}?/g;
const PROSE = /(?<![\\A-Za-z\d.,])(?:[A-Za-z]{2,}|\d[\d.,]*),? [A-Za-z]{2}/;
const SEPARATOR = /[:/.,=@"-]/;
const NAME = /[A-Za-z_{]/;

/** How long a formula may go on without an end, before it is taken for plain text. */
const MAX_PENDING = 1000;
/** What may be an amount, a variable or a formula: the next character tells. */
const UNDECIDED = /^\{?(?:\d[\d.,]*|[A-Za-z]\w{0,30})? ?$/;
const AMOUNT = /^\d[\d.,]*(?! ?[\\^_<=>]|[a-zA-Z](?<![kKmMbBtT])(?![a-zA-Z]))/;
const VARIABLE = /^\{?(?:[A-Za-z]{3}|[A-Za-z]+_[A-Za-z]{2})\w*(?!\w| ?[=^+<>\\])/;

/**
 * Return where the end of a formula stands, -1 where there is none yet, or null where this is none.
 *
 * The time is that of looking as far as to the next of the marks: linear for all beginnings in a text together.
 *
 * @param {string} text
 * @param {Mark} mark that the formula begins with
 * @param {number} start where it goes on
 * @returns {number | null}
 */
export function formulaEnd(text, mark, start) {
  if (mark === "$" && /\s/.test(text[start] ?? "")) return null;
  const found = match(ENDS[mark], text, start);
  if (!found) return -1;
  if (!found[0].endsWith(CLOSING[mark])) return null;
  const after = found.index + found[0].length;
  const end = after - CLOSING[mark].length;
  if (mark === "$" && !closes(text, end)) return null;
  return isFormula(text.slice(start, end), mark) ? end : null;
}

/**
 * @param {string} text
 * @param {number} end where a `$` stands
 */
function closes(text, end) {
  const [before, after] = [text[end - 1] ?? "", text[end + 1] ?? ""];
  return !/\s/.test(before) && !/\d/.test(after) && !(SEPARATOR.test(before) && NAME.test(after));
}

/**
 * @param {string} source
 * @param {Mark} mark
 */
function isFormula(source, mark) {
  return (mark[0] === "$" ? source.trim() !== "" : CALCULABLE.test(source)) && !isProse(source);
}

/** @param {string} source */
const isProse = (source) => PROSE.test(source.replace(GROUP, "{"));

/**
 * Say what the beginning of a formula that has no end yet will most likely be.
 *
 * @param {string} text
 * @param {Mark} mark
 * @param {number} start
 * @returns {"formula" | "text" | "undecided"}
 */
export function guessFormula(text, mark, start) {
  const source = text.slice(start, start + MAX_PENDING + 1);
  if (source.length > MAX_PENDING || isProse(source)) return "text";
  if (source.trim() === "") return "undecided";
  if (mark !== "$") return "formula";
  if (UNDECIDED.test(source)) return "undecided";
  return AMOUNT.test(source) || VARIABLE.test(source) || /[.!?] /.test(source) ? "text" : "formula";
}

// On lines of its own

const BLOCK = /\$\$(?!\$)|\\\[|\\begin\{([a-zA-Z]+\*?)\}/y;

/**
 * Return what ends the formula that a line begins, and whether that is on the line; null where it begins none, or has
 * text after it.
 *
 * @param {string} line without its indentation
 */
export function formulaBlock(line) {
  const found = match(BLOCK, line, 0);
  const [mark = "", environment] = found ?? [];
  if (!found || (environment && !isEnvironment(environment))) return null;
  const closing = environment ? `\\end{${environment}}` : mark === "$$" ? "$$" : "\\]";
  const end = indexOfMark(line, closing, mark.length);
  const source = line.slice(mark.length, end < 0 ? undefined : end);
  if (end < 0) return mark !== "\\[" || mayGoOn(source) ? { closing, complete: false } : null;
  const isEmpty = mark === "\\[" ? !isFormula(source, mark) : source.trim() === "";
  return isEmpty || line.slice(end + closing.length).trim() !== "" ? null : { closing, complete: true };
}

/**
 * Whether the next line ends a block. Brackets with nothing in them are no maths.
 *
 * @param {import("./block.js").Block} block
 * @param {string} line
 */
export function endsFormula({ text, closing }, line) {
  const end = line.trimEnd();
  if (!end.endsWith(closing) || isEscaped(end, end.length - closing.length)) return false;
  return closing !== "\\]" || end.trim() !== closing || text.trim() !== "\\[";
}

/**
 * Return a block's formula, without dollar signs or brackets.
 *
 * @param {import("./block.js").Block} block
 */
export function formulaOf({ text, closing, complete }) {
  if (closing.startsWith("\\end")) return text.trim();
  return text.slice(2, complete ? text.trimEnd().length - 2 : undefined).trim();
}

/**
 * Whether what follows `\[` in a line can be a formula's first line: no escaped bracket's text, as in `\[no link](/url)`.
 *
 * @param {string} source
 */
const mayGoOn = (source) =>
  source.length <= MAX_PENDING && !/^[^[\]]*\]/.test(source) && !source.includes("`") && !isProse(source);

/**
 * @param {string} text
 * @param {string} mark
 * @param {number} from
 */
function indexOfMark(text, mark, from) {
  let at = text.indexOf(mark, from);
  while (at >= 0 && isEscaped(text, at)) at = text.indexOf(mark, at + 1);
  return at;
}

/**
 * Whether a backslash before it takes a mark's meaning away; not so of `\\`, a line's end.
 *
 * @param {string} text
 * @param {number} at
 */
function isEscaped(text, at) {
  let slashes = 0;
  while (text[at - 1 - slashes] === "\\") slashes += 1;
  return slashes % 2 === 1;
}
