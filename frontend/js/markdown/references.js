/**
 * Labels, destinations and titles: what inline links and link reference definitions are made of.
 *
 * The functions named `scan…` read from a position on and return where they ended, or null where nothing of the kind
 * stands there. Source: CommonMark 0.31.2, sections 4.7 and 6.3.
 */

import { ESCAPABLE, unescapeText } from "./entities.js";
import { match } from "./scan.js";

const LABEL = /\[((?:[^\\[\]]|\\[^]){0,999})\]/y;
const BRACKETED_DESTINATION = /<((?:[^<>\n\\]|\\.)*)>/y;
const TITLE = /"((?:[^"\\]|\\[^])*)"|'((?:[^'\\]|\\[^])*)'|\(((?:[^()\\]|\\[^])*)\)/y;
const SPACE_WITH_ONE_LINE_END = /[ \t]*\n?[ \t]*/y;
const MAX_LABEL = 999;
/** The specification asks for three levels at least; a limit keeps hostile text cheap. */
const MAX_PARENTHESES = 32;

/**
 * @typedef {{href: string, title: string | null}} Definition
 */

/** Labels are equal by this form. @param {string} label */
export function normalLabel(label) {
  return label.trim().replace(/[ \t\n]+/g, " ").toLowerCase().toUpperCase();
}

/**
 * @param {string} text
 * @param {number} at
 */
export function scanLabel(text, at) {
  const found = match(LABEL, text, at);
  const label = found?.[1] ?? "";
  if (!found || label.length > MAX_LABEL) return null;
  return { label, end: at + found[0].length };
}

/**
 * @param {string} text
 * @param {number} at
 */
export function scanDestination(text, at) {
  if (text[at] === "<") {
    const found = match(BRACKETED_DESTINATION, text, at);
    return found && { destination: unescapeText(found[1] ?? ""), end: at + found[0].length };
  }
  let depth = 0;
  let end = at;
  for (; end < text.length; end += 1) {
    const code = text.charCodeAt(end);
    if (code === 92 && ESCAPABLE.test(text[end + 1] ?? "")) end += 1;
    else if (code === 40 && ++depth > MAX_PARENTHESES) return null;
    else if (code === 41 && --depth < 0) break;
    else if (code <= 32 || code === 127) break;
  }
  end = Math.min(end, text.length);
  if (depth > 0) return null;
  return { destination: unescapeText(text.slice(at, end)), end };
}

/**
 * @param {string} text
 * @param {number} at
 */
export function scanTitle(text, at) {
  const found = match(TITLE, text, at);
  if (!found) return null;
  return { title: unescapeText(found[1] ?? found[2] ?? found[3] ?? ""), end: at + found[0].length };
}

/**
 * Past spaces and tabs, and one line end at most.
 *
 * @param {string} text
 * @param {number} at
 */
export function skipSpace(text, at) {
  return at + (match(SPACE_WITH_ONE_LINE_END, text, at)?.[0].length ?? 0);
}

/**
 * Read the definition that a paragraph begins with.
 *
 * @param {string} text a paragraph's
 * @returns {{label: string, definition: Definition, end: number, certain: boolean} | null} `end` is where the next line
 *   begins; `certain` says that no further line of this paragraph could change it
 */
export function scanDefinition(text) {
  const named = scanLabel(text, 0);
  if (!named || text[named.end] !== ":" || named.label.trim() === "") return null;
  const start = skipSpace(text, named.end + 1);
  const target = scanDestination(text, start);
  if (!target || (target.end === start && text[start] !== "<")) return null;
  const definition = { href: target.destination, title: /** @type {string | null} */ (null) };
  const { label } = named;
  const lineEnd = endOfLine(text, target.end);
  const titleStart = skipSpace(text, target.end);
  const title = titleStart > target.end ? scanTitle(text, titleStart) : null;
  const titleEnd = title && endOfLine(text, title.end);
  if (title && titleEnd !== null) {
    definition.title = title.title;
    return { label, definition, end: titleEnd, certain: titleEnd < text.length };
  }
  if (lineEnd === null) return null;
  const unfinished = !title && /^["'(]/.test(text.slice(titleStart, titleStart + 1));
  return { label, definition, end: lineEnd, certain: lineEnd < text.length && !unfinished };
}

/**
 * Where the next line begins, if nothing but spaces stands before it; else null.
 *
 * @param {string} text
 * @param {number} at
 */
function endOfLine(text, at) {
  const found = match(/[ \t]*(?:\n|$)/y, text, at);
  return found && at + found[0].length;
}
