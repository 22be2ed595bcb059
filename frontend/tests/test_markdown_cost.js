/** Reading takes time in proportion to the text's length, whatever is repeated in it. */

import { BlockParser } from "../js/markdown/blocks.js";
import { parseInlines } from "../js/markdown/inlines.js";
import { clock } from "./spec_dom.js";
import { ok, test } from "./harness.js";

const LONG = 48_000;
const SHORT = LONG / 4;

/** What is read in so many ms is never looked at again: a machine that does much else is no fault. */
const FAST_MS = 200;
/** Four times as much takes four times as long where the time is linear, and sixteen times where it is quadratic. */
const LINEAR = 9;
const TRIES = 4;

/** @type {[before: string, repeated: string, after: string][]} */
const TEXTS = [
  ...["**a ", "*a ", "_a ", "~~a ", "***a ", "*a_", "*a** ", "*_", "**字", "~a~", "`a``", "\\", "!"],
  ...["[", "![", "[a](", "[a](b", '[a](b "', "[a](<b", "[a](b (", "[a][", "[[a](b)", "[^", "[^a", "[]", "]("],
  ...["<!A", "<!--", "<?", "<![CDATA[", "<a b='", '<a b="', "<a ", "</a ", "<", "<http://a", "<a@b."],
  ...["@", "a@", "a@b.", "a.", "www.", "http://", "http://a.b)", "http://a&b;", "&", "&a", "&#x"],
  ...["# ", "## #", "|", "-|", "|-\n", "a\n", "[a]: b\n", '[a]: b\n"', "[a\n", "- ", "> ", "1. ", "\t", "  \n", "``` ", "<pre>\n"],
].map((fragment) => ["", fragment, ""]);
TEXTS.push(
  ["x [", "*", "](b)"],
  ["x ", "[", "a](b)".repeat(LONG / 24)],
  ["x ", "![", "[a](b)".repeat(LONG / 24)],
  ["x ", "![a ", "](b)".repeat(LONG / 24)],
  ["x ", " ", "y"],
  ["x ", " ", "\ny"],
  ["x ", "*", "y"],
  ["x ", "$", "y"],
  ["x\n", " \t", "y"],
  ["# x", " ", "y"],
  ["# x", " #", "y"],
  ["x\n-|", " ", "y"],
  ["|x", "x", "\n|y\n"],
  ["<a", " ", "b"],
  ["<pre>", " \n", "</pre> x\n\n"],
  ["[a]: b\n'", "x\n", ""],
  ["[a]:", " ", "b"],
  ["[a](b", " ", "c"],
  ['[a](b "', '\\"', ""],
);

/** @param {(label: string) => import("../js/markdown/references.js").Definition | null} definition */
const context = (definition) => ({ definition, isFootnote: () => true, autolinks: true });
const CONTEXTS = [context(() => null), context(() => ({ href: "/a", title: null }))];

/**
 * Everything that is done with a text, once.
 *
 * @param {string} text
 */
function read(text) {
  for (const each of CONTEXTS) for (const open of [false, true]) parseInlines(text, each, open);
  const parser = new BlockParser({ define() {}, defineFootnote() {} });
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  for (const line of lines) parser.add(line);
  parser.withUnfinished(last, () => {});
  parser.add(last);
  parser.end();
}

/** @param {string} text */
function timeOf(text) {
  const start = clock();
  read(text);
  return clock() - start;
}

for (const [before, repeated, after] of TEXTS) {
  test(`reading ${JSON.stringify(before + repeated)} many times takes linear time`, () => {
    const made = (/** @type {number} */ length) =>
      before + repeated.repeat(length / repeated.length) + after.slice(0, after.length > 99 ? length / 2 : undefined);
    const times = { long: Infinity, short: Infinity };
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      times.long = Math.min(times.long, timeOf(made(LONG)));
      if (times.long < FAST_MS) return;
      times.short = Math.min(times.short, timeOf(made(SHORT)));
    }
    ok(times.long < LINEAR * times.short, `${times.short} ms for ${SHORT} characters, ${times.long} ms for ${LONG}`);
  });
}
