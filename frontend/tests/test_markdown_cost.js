/** Reading and drawing take time in proportion to the text's length, whatever is repeated in it. */

import { BlockParser } from "../js/markdown/blocks.js";
import { parseInlines } from "../js/markdown/inlines.js";
import { clock, render } from "./spec_dom.js";
import { ok, test } from "./harness.js";

const LENGTH = 24_000;
/** Runs of one character, which compiled patterns are fast at. */
const RUN = 96_000;

/** What is read in so many ms is never looked at again: a machine that does much else is no fault. */
const FAST_MS = 80;
/** Four times as much takes four times as long where the time is linear, and sixteen times where it is quadratic. */
const LINEAR = 9;
const TRIES = 4;

/** @type {string[]} */
const FRAGMENTS = [
  ...["**a ", "*a ", "_a ", "~~a ", "***a ", "*a_", "*a** ", "*_", "**字", "~a~", "`a``", "\\", "!"],
  ...["[", "![", "[a](", "[a](b", '[a](b "', "[a](<b", "[a](b (", "[a][", "[[a](b)", "[^", "[^a", "[]", "]("],
  ...["<!A", "<!--", "<?", "<![CDATA[", "<a b='", '<a b="', "<a ", "</a ", "<", "<http://a", "<a@b."],
  ...["@", "a@", "a@b.", "a.", "www.", "http://", "http://a.b)", "http://a&b;", "&", "&a", "&#x", '[a](b "\\"'],
  ...["# ", "## #", "|", "-|", "|-\n", "a\n", "[a]: b\n", '[a]: b\n"', "[a\n", "- ", "> ", "1. ", "\t", "  \n", "``` ", "<pre>\n"],
];

/** @type {[before: string, repeated: string, after: string][]} */
const RUNS = [
  ["x ", " ", "y"],
  ["x ", " ", "\ny"],
  ["x ", "*", "y"],
  ["x ", "$", "y"],
  ["x $", "1", ""],
  ["x \\(", "1,", "\\)"],
  ["\\[", "1", ""],
  ["x\n", " \t", "y"],
  ["# x", " ", "y"],
  ["# x", " #", "y"],
  ["x\n-|-", " ", "y"],
  ["|x", "x", "\n|y\n"],
  ["<a", " ", "b"],
  ["<pre>\n", " ", "y</pre>\n\n"],
  ["[a]: b\n'", "x\n", ""],
  ["[a]:", " ", "b"],
  ["[a](b", " ", "c"],
];

/** What is repeated, and then something else as often. @type {[first: string, then: string][]} */
const PAIRS = [
  ["[", "[a](b)"],
  ["![", "[a](b)"],
  ["![a ", "](b)"],
  ["[", "]"],
  ["**a ", " b**"],
];

/** @type {[name: string, length: number, make: (length: number) => string][]} */
const TEXTS = [
  ...FRAGMENTS.map((fragment) => text(fragment, LENGTH, (length) => fragment.repeat(length / fragment.length))),
  ...RUNS.map(([before, run, after]) =>
    text(before + run, RUN, (length) => before + run.repeat(length / run.length) + after),
  ),
  ...PAIRS.map(([first, then]) =>
    text(`${first}…${then}`, RUN / 2, (length) => {
      const count = length / (first.length + then.length);
      return `x ${first.repeat(count)}${then.repeat(count)}`;
    }),
  ),
];

/**
 * @param {string} name
 * @param {number} length
 * @param {(length: number) => string} make
 * @returns {[string, number, (length: number) => string]}
 */
function text(name, length, make) {
  return [name, length, make];
}

/** @param {(label: string) => import("../js/markdown/references.js").Definition | null} definition */
const context = (definition) => ({ definition, isFootnote: () => true, autolinks: true });
const WITHOUT_DEFINITIONS = context(() => null);
const WITH_DEFINITIONS = context(() => ({ href: "/a", title: null }));

/**
 * Everything that is done with a text, once.
 *
 * @param {string} text
 */
function read(text) {
  parseInlines(text, WITHOUT_DEFINITIONS, true);
  parseInlines(text, WITH_DEFINITIONS, false);
  const parser = new BlockParser({ define() {}, defineFootnote() {} });
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  for (const line of lines) parser.add(line);
  parser.withUnfinished(last, () => {});
  parser.add(last);
  parser.end();
}

/** @param {string} text */
function draw(text) {
  render([text]);
}

/**
 * @param {(text: string) => void} work
 * @param {string} text
 */
function timeOf(work, text) {
  const start = clock();
  work(text);
  return clock() - start;
}

/**
 * @param {(text: string) => void} work
 * @param {number} length
 * @param {(length: number) => string} make
 */
function isLinear(work, length, make) {
  let [all, part] = [Infinity, Infinity];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    all = Math.min(all, timeOf(work, make(length)));
    if (all < FAST_MS) return;
    part = Math.min(part, timeOf(work, make(length / 4)));
  }
  ok(all < LINEAR * part, `${part} ms for ${length / 4} characters, ${all} ms for ${length}`);
}

for (const [name, length, make] of TEXTS) {
  test(`reading ${JSON.stringify(name)} many times takes linear time`, () => isLinear(read, length, make));
}

for (const small of ["1<br>", "`1 `", "*1* ", "[^1]: ", "- 1<br>"]) {
  test(`drawing ${JSON.stringify(small)} many times takes linear time`, () =>
    isLinear(draw, LENGTH, (length) => small.repeat(length / small.length)));
}
