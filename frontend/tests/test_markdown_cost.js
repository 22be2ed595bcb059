/** Reading and drawing take time in proportion to the text's length, whatever is repeated in it. */

import { BlockParser } from "../js/markdown/blocks.js";
import { parseInlines } from "../js/markdown/inlines.js";
import { equal, test } from "./harness.js";
import { linearFault } from "./linear.js";
import { render } from "./spec_dom.js";

const LENGTH = 24_000;
/** Runs of one character, which compiled patterns are fast at. */
const RUN = 96_000;

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

for (const [name, length, make] of TEXTS) {
  test(`reading ${JSON.stringify(name)} many times takes linear time`, () => {
    equal(linearFault(read, make(length), make(length / 4)), null);
  });
}

for (const small of ["1<br>", "`1 `", "*1* ", "[^1]: ", "- 1<br>"]) {
  test(`drawing ${JSON.stringify(small)} many times takes linear time`, () => {
    const make = (/** @type {number} */ length) => small.repeat(length / small.length);
    equal(linearFault(draw, make(LENGTH), make(LENGTH / 4)), null);
  });
}
