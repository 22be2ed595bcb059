/**
 * The renderer beside the specifications' examples; spec_dom.js says what is no difference.
 *
 * Those of gfm_examples.json are from the GFM specification, licensed CC BY-SA 4.0.
 */

import { actualTree, expectedTree, render, units, untidyText } from "./spec_dom.js";
import { equal, ok, test } from "./harness.js";

/** @typedef {{number: number, section: string, markdown: string, html: string}} Example */

const COMMONMARK = await load("../examples/commonmark.json");
const GFM = await load("gfm_examples.json");

/**
 * CommonMark's examples whose HTML has the source's own: they differ by design, for raw HTML is shown as text. In 596,
 * 598, 599 and 601, and in GFM's 628, links with other schemes than ours are as specified but for being links.
 */
const RAW_HTML = new Set([
  21, 31, 201, 308, 309, 344, 475, 476, 477, 491, 494, 524, 536, 623, 642, 643,
  ...range(148, 191), // the section about HTML blocks
  ...range(613, 617), // the section about raw HTML, but for what is none
  ...range(625, 631),
]);
/** GFM's example of the tag filter, which filters HTML that is text here. */
const TAG_FILTER = 653;

/** What GFM's extended autolinks make of the examples which show that CommonMark has none. */
const WITH_AUTOLINKS = new Map([
  [602, '<p>&lt;<a href="https://foo.bar/baz">https://foo.bar/baz</a> bim&gt;</p>'],
  [606, '<p>&lt;<a href="mailto:foo+@bar.example.com">foo+@bar.example.com</a>&gt;</p>'],
  [608, '<p>&lt; <a href="https://foo.bar">https://foo.bar</a> &gt;</p>'],
  [611, '<p><a href="https://example.com">https://example.com</a></p>'],
  [612, '<p><a href="mailto:foo@bar.example.com">foo@bar.example.com</a></p>'],
]);

/** All that the renderer ever makes. */
const ELEMENTS = new Set(
  (
    "a blockquote br button code del div em figcaption figure h1 h2 h3 h4 h5 h6 hr input li ol p pre section span " +
    "strong sup table tbody td th thead tr ul"
  ).split(" "),
);

/**
 * @param {string} path
 * @returns {Promise<Example[]>}
 */
async function load(path) {
  return (await fetch(path)).json();
}

/**
 * @param {number} first
 * @param {number} last
 */
function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/**
 * @param {Example[]} examples
 * @param {(markdown: string) => string[]} pieces
 * @param {boolean} autolinks
 */
function allAsSpecified(examples, pieces, autolinks) {
  const wrong = examples.flatMap(({ number, section, markdown, html }) => {
    const root = render(pieces(markdown), { autolinks });
    const actual = JSON.stringify(actualTree(root));
    const expected = JSON.stringify(expectedTree(html));
    const fault = actual === expected ? untidyText(root) : `expected ${expected}, got ${actual}`;
    return fault ? [`${number} (${section}) ${JSON.stringify(markdown)}: ${fault}`] : [];
  });
  ok(!wrong.length, `${wrong.length} of ${examples.length} differ:\n${wrong.slice(0, 10).join("\n")}`);
}

const ours = COMMONMARK.filter(({ number }) => !RAW_HTML.has(number));
const oursWithAutolinks = ours.map((example) => ({
  ...example,
  html: WITH_AUTOLINKS.get(example.number) ?? example.html,
}));
const raw = [
  ...COMMONMARK.filter(({ number }) => RAW_HTML.has(number)),
  ...GFM.filter(({ number }) => number === TAG_FILTER),
];
const oursOfGfm = GFM.filter(({ number }) => number !== TAG_FILTER);

test("there are as many examples as the specifications have", () => {
  equal([ours.length, oursOfGfm.length, raw.length], [580, 23, 73]);
});

/** @type {[string, (markdown: string) => string[]][]} */
const WAYS = [
  ["whole", (markdown) => [markdown]],
  ["character by character", units],
];
for (const [way, pieces] of WAYS) {
  test(`CommonMark's examples give the specification's DOM, ${way}`, () => {
    allAsSpecified(ours, pieces, false);
  });

  test(`GFM's examples give the specification's DOM, and CommonMark's theirs with autolinks, ${way}`, () => {
    allAsSpecified([...oursOfGfm, ...oursWithAutolinks], pieces, true);
  });

  test(`raw HTML is shown as text, ${way}`, () => {
    for (const { number, markdown } of raw) {
      const root = render(pieces(markdown));
      const strange = [...root.querySelectorAll("*")].filter(
        ({ localName }) => !ELEMENTS.has(localName),
      );
      equal([number, strange.map(({ localName }) => localName), untidyText(root)], [number, [], null]);
      for (const [tag] of markdown.matchAll(/<[/!?]?[a-z][^\s<>]*/gi))
        ok(root.textContent.includes(tag), `${number}: ${tag} is not in ${root.textContent}`);
    }
  });
}
