/** How the renderer's DOM comes about: the same however the text is cut, and without touching what is finished. */

import { clock, cut, drawFrame, random, render, smallest, units, untidyText } from "./spec_dom.js";
import { createRenderer } from "../js/markdown/index.js";
import { equal, ok, test } from "./harness.js";

const ANSWER = await (await fetch("long_answer.md")).text();
/** @type {{number: number, markdown: string}[]} */
const COMMONMARK = await (await fetch("../examples/commonmark.json")).json();
/** @type {{number: number, markdown: string}[]} */
const GFM = await (await fetch("gfm_examples.json")).json();
/** @type {{class: string, input: string}[]} */
const HOSTILE = await (await fetch("hostile_markdown.json")).json();

/** How many faults are looked for. */
const ENOUGH = 8;

/** How long a text may be for being cut at every place. */
const SHORT = 600;

/**
 * Return what is wrong with the first of the ways of cutting the text whose DOM at the end is not that of the whole
 * text, or null.
 *
 * @param {string} text
 * @param {(text: string) => Iterable<string[]>} ways
 */
function difference(text, ways) {
  /** @type {string[]} */
  let pieces = [text];
  try {
    const whole = render([text.replaceAll("␞", "")]);
    for (pieces of ways(text)) {
      const root = render(pieces);
      const fault = root.isEqualNode(whole) ? untidyText(root) : firstDifference(whole, root);
      if (fault) return `cut as ${JSON.stringify(pieces).slice(0, 1000)}: ${fault}`;
    }
  } catch (error) {
    return `cut as ${JSON.stringify(pieces).slice(0, 1000)}: ${error instanceof Error ? error.stack : error}`;
  }
  return null;
}

/**
 * @param {[name: string, text: string][]} texts
 * @param {(text: string) => Iterable<string[]>} ways
 */
function sameHoweverCut(texts, ways) {
  /** @type {string[]} */
  const wrong = [];
  for (const [name, text] of texts) {
    if (wrong.length === ENOUGH || difference(text, ways) === null) continue;
    const least = smallest(text, (shorter) => difference(shorter, ways) !== null);
    wrong.push(`${name}, ${difference(least, ways)}`);
  }
  ok(!wrong.length, `at least ${wrong.length} of ${texts.length} differ:\n${wrong.join("\n")}`);
}

/**
 * @param {Node} whole
 * @param {Node} root
 * @returns {string}
 */
function firstDifference(whole, root) {
  const [a, b] = [[...whole.childNodes], [...root.childNodes]];
  const at = a.findIndex((node, index) => !b[index]?.isEqualNode(node));
  const [child, other] = [a[at], b[at]];
  if (child?.hasChildNodes() && child.nodeName === other?.nodeName) return firstDifference(child, other);
  const html = (/** @type {Node} */ node) => (node instanceof Element ? node.outerHTML : "").slice(0, 500);
  return `whole ${html(whole)}\n cut ${html(root)}`;
}

/** @param {string} text */
function* atEveryPlace(text) {
  for (let place = 1; place < text.length; place += 1) yield cut(text, [place]);
}

/**
 * Cut at some places of all that are there, at more than one at once, and so that pieces are empty.
 *
 * @param {string} text
 * @param {number} count
 */
function* atRandom(text, count) {
  const next = random(text.length);
  const place = () => Math.floor(next() * (text.length + 1));
  for (let way = 0; way < count; way += 1) {
    yield cut(text, [place()]);
    yield cut(text, Array.from({ length: 1 + Math.floor(next() * 12) }, place));
  }
}

/** @param {string} text */
function* everyWay(text) {
  yield units(text);
  yield* atEveryPlace(text);
  yield* atRandom(text, 3);
}

test("the DOM of each of the specifications' examples is the same however it is cut", () => {
  sameHoweverCut(
    [...COMMONMARK, ...GFM].map(({ number, markdown }) => [`example ${number}`, markdown]),
    everyWay,
  );
});

test("the DOM of a long answer is the same however it is cut", () => {
  sameHoweverCut([["the answer", ANSWER]], function* (text) {
    yield units(text);
    yield text.match(/[^]{1,4}/g) ?? [];
    yield text.split(/(?<=\n)/);
    yield* atRandom(text, 30);
  });
});

test("the DOM of each hostile text is the same however it is cut", () => {
  sameHoweverCut(
    HOSTILE.map((vector) => [vector.class, vector.input]),
    function* (input) {
      // Where the texts say that they may be cut.
      const text = input.replaceAll("␞", "");
      yield input.split("␞");
      if (text.length < SHORT) yield* everyWay(text);
      else yield* atRandom(text, 2);
    },
  );
});

const FRAGMENTS = [
  ..."*_`~[](){}<>!#\\|:-+=&$^\"'\n\t 1".split(""),
  ...["**", "__", "~~", "***", "``", "```", "~~~", "$$", "![", "](", "][", "[^1]", "[^1]: ", "[a]: ", "[a]"],
  ...["\n\n", "\n", "\n", "  \n", "    ", "   ", "  ", "\r\n", "- ", "* ", "1. ", "2) ", "> ", ">", "# ", "## ", "---"],
  ...["- [ ] ", "- [x] ", "| a | b |\n|---|:-:|\n", "|", "|---|\n", "===", "```js\n", "~~~\n", "\\begin{matrix}"],
  ...["<b>", "</b>", "<br>", "<!--", "-->", "<div>\n", "<?", "&amp;", "&#x41;", "&"],
  ...["http://a.b", "www.a.b/c", "a@b.c", "/url", '"title"', "a", "b", "foo", "bar baz", "word ", "é", "字", "😀"],
  ...["\u200b", "\u00a0", "\0", "x^2", "\\frac{a}{b}", "\\(", "\\)", "\\[", "\\]", "\n\\[\n", "\n\\]\n"],
  ...["\\begin{align*}\n", "\\end{align*}\n", "\\text{if ", "$HOME", "$5", "\\\\"],
  ..."。，（）“”の語한글".split(""),
  ...["**。", "。**", "”**", "テスト", "http://a.b。", "http://a", "看http://"],
];

test("the DOM of random texts is the same character by character as it is at once", () => {
  const texts = range(2000).map((seed) => {
    const next = random(seed);
    const some = () => FRAGMENTS[Math.floor(next() * FRAGMENTS.length)] ?? "";
    return /** @type {[string, string]} */ ([`text ${seed}`, range(3 + Math.floor(next() * 20)).map(some).join("")]);
  });
  sameHoweverCut(texts, (text) => [units(text), ...atRandom(text, 1)]);
});

/** Each of them once differed by how it was cut. */
const SUBTLE = [
  "http://a.b>",
  "http://a.b`^",
  "http://a.b+~~]",
  "[^1]:[^1]:",
  "$==$",
  "- [a@b.c[^1]:",
  "- |\n  $$",
  "* \n\n* [_\n",
  "    code\n\n[foo]\n",
  "[a]: /d 'T'\n\n[a](/x)",
  "[a]: /d 'T'\n\n![a](/x)",
  "[a]: /d 'T'\n\n[![a](/x)](/y)",
  "[a]: /d 'T'\n\n[a][b]",
  `${"[a]: /d\n\n".repeat(16)}after`,
  "    a\n\n\n".repeat(20),
  "- ```\n  code\n- [x] a",
  "* text\n  $$\n  x\n* [x] a",
  "[^n]: - [ ] todo",
  "- [](javascript:a)\n  - inside\n\n  loose\n\nafter",
];

test("the DOM of subtle texts is the same however they are cut", () => {
  sameHoweverCut(
    SUBTLE.map((text) => [text, text]),
    everyWay,
  );
});

test("the DOM of long random paragraphs is the same however they are cut", () => {
  const marks = FRAGMENTS.filter((fragment) => !fragment.includes("\n"));
  const texts = range(60).map((seed) => {
    const next = random(seed);
    const density = next() / 2;
    const some = () => (next() < density ? marks[Math.floor(next() * marks.length)] : "word ") ?? "";
    return /** @type {[string, string]} */ ([`paragraph ${seed}`, range(500).map(some).join("")]);
  });
  sameHoweverCut(texts, (text) => [text.match(/[^]{1,7}/g) ?? [], ...atRandom(text, 2)]);
});

const CODE = ["    code\n", "\n", "\n", "    ", "    b\u{e0041}\n", "    👩🏽‍💻\u200d\n", "    c", "`", "👨", "\u200d", "👧"];
const LABELS = ["[a]: /d 'T'\n\n", "[a]: /e\n\n", "[b]: /f\n", "\n\n", "\n", "[a]", "[b]", "[](javascript:a)", "(/x)", "(/y 'U')", "!", "[", "]"];
const NOTES = ["[^1]: ", "[^2]: ", "[^1]", "[^2]", "[^3]", "\n\n", "\n    ", "word ", "- ", "  - ", "===\n", "    code\n"];

for (const [name, parts] of Object.entries({ code: CODE, links: LABELS, footnotes: NOTES })) {
  test(`the DOM of random ${name} is the same character by character as it is at once`, () => {
    const texts = range(200).map((seed) => {
      const next = random(seed);
      const some = () => parts[Math.floor(next() * parts.length)] ?? "";
      return /** @type {[string, string]} */ ([`text ${seed}`, range(4 + (seed % 60)).map(some).join("")]);
    });
    sameHoweverCut(texts, (text) => [units(text), text.split(/(?<=\n)/), ...atRandom(text, 1)]);
  });
}

/** @param {number} count */
const range = (count) => Array.from({ length: count }, (_, index) => index);

test("many writes ask for one frame, and draw nothing before it", () => {
  const root = document.createElement("div");
  const renderer = createRenderer(root);
  for (const token of ANSWER.match(/[^]{1,4}/g) ?? []) renderer.write(token);
  equal(root.childNodes.length, 0);
  equal(drawFrame(), 1);
  ok(root.childNodes.length > 0);
  equal(drawFrame(), 0);
  renderer.end();
});

test("the DOM at the end is the same without any frame", () => {
  const root = document.createElement("div");
  const renderer = createRenderer(root);
  for (const token of ANSWER.match(/[^]{1,4}/g) ?? []) renderer.write(token);
  renderer.end();
  const whole = render([ANSWER]);
  ok(root.isEqualNode(whole));
  equal(drawFrame(), 0);
});

/** @type {[name: string, uses: (n: number) => string, definition: (n: number) => string, selector: string][]} */
const LATE = [
  ["definitions", (n) => `[r${n}]`, (n) => `[r${n}]: /${n}\n`, "p > a[href]"],
  ["footnotes", (n) => `[^r${n}]`, (n) => `[^r${n}]: note ${n}\n`, "p > sup > a"],
];

for (const [name, use, definition, selector] of LATE) {
  test(`many late ${name} cost in proportion to their number, however they are cut`, () => {
    const many = range(1000);
    const uses = `${many.map(use).join(" ")}\n\n`;
    const definitions = many.map(definition);
    const whole = render([uses + definitions.join("")]);
    equal(whole.querySelectorAll(selector).length, many.length);
    /** @param {string[]} pieces */
    const draw = (pieces) => {
      const root = document.createElement("div");
      const observer = new MutationObserver(() => {});
      observer.observe(root, { subtree: true, childList: true, characterData: true });
      const start = clock();
      render([uses, ...pieces], { root });
      const time = clock() - start;
      ok(root.isEqualNode(whole));
      const changes = observer.takeRecords().length;
      // Each definition for itself would change the paragraph half a million times.
      ok(changes < 50 * many.length, `${changes} changes in ${pieces.length} pieces`);
      return time;
    };
    for (const pieces of [[definitions.join("")], definitions]) {
      let time = Infinity;
      // The machine may be busy with something else.
      for (let attempt = 0; attempt < 5 && time >= 5000; attempt += 1) time = Math.min(time, draw(pieces));
      ok(time < 5000, `${time} ms in ${pieces.length} pieces`);
    }
  });
}
