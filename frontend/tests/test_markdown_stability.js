/** What a reader sees while the text arrives: nothing flickers, and what is finished stays as it is. */

import { drawFrame, render, units } from "./spec_dom.js";
import { createRenderer } from "../js/markdown/index.js";
import { equal, ok, test } from "./harness.js";

const ANSWER = await (await fetch("long_answer.md")).text();

/** Characters of a token, on average. */
const TOKEN = 4;

/**
 * Return the text that is shown, without white space and without the words around code and tables.
 *
 * @param {Element} root
 */
function shownText(root) {
  const copy = /** @type {Element} */ (root.cloneNode(true));
  for (const other of copy.querySelectorAll("figcaption, button, annotation")) other.remove();
  return copy.textContent.replace(/\s+/g, "");
}

const WITHOUT_FLICKER = [
  "**bold** text",
  "*emphasis* text",
  "a __bold__ and _emphasised_ text",
  "***both*** at once",
  "***both** of them* nested",
  "**bold with `code` in it**",
  "~~gone~~ text",
  "`code` text",
  "``code with ` in it`` text",
  "```py\ncode\n```",
  "```py\ncode\n```\n\nafter it",
  "~~~\ncode\n~~~\nafter it",
  "- item\n\n  ```js\n  code\n  ```",
  "[text](https://example.org) after",
  '[text](https://example.org "title") after',
  "[**bold** text](https://example.org/a_b_c) after",
  "see <https://example.org> for more",
  "![alt](https://example.org/a.png)",
  "![alt](https://example.org/a.png) after",
  "| a | b |\n|---|---|\n| 1 | 2 |",
  "| a | b |\n| :-- | --: |\n| **1** | `2` |\n\nafter it",
  "before it\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
  "- item",
  "- item\n- another\n  - nested\n\nafter it",
  "* item\n* another",
  "1. item",
  "1. item\n2. another\n\n   of two paragraphs",
  "10) item",
  "- [x] task",
  "- [ ] task\n- [x] done",
  "# Heading",
  "## Heading ##\n\ntext",
  "# A **bold** and `code` and [a link](https://example.org) and $x^2$",
  "Title\n===",
  "Title\n---\n\ntext",
  "text\n\n---\n\ntext",
  "text\n\n***\n\ntext",
  "> quote",
  "> quote\n> of **two** lines\n\nafter it",
  "$x$ and $y$",
  "\\(x^2\\) and so on",
  "$ABC$ and $2x$ and $1$",
  "so \\[x = 1\\] follows",
  "\\[\nx\n\\]",
  "$$\na + b\n$$",
  "\\begin{align*}\na &= b\\\\\n&= c\n\\end{align*}",
  "$\\frac{a}{b}$ and \\(\\text{if } x \\in \\{1, 2\\}\\)",
  "it costs $5 or $6",
  "from $10 to $20, or US$30",
  "$100k–$200k",
  "$HOME and $PATH",
  "&amp; entity",
  "an entity &copy; within",
  "\\* escaped",
  "not \\*emphasised\\* text",
  "hard  \nbreak",
  "hard\\\nbreak",
  "5 < 6 and 7 > 3",
  "2 * 3 * 4",
  "snake_case_name",
  "1 and 2.5 are numbers",
  "2026 was a year",
  "a - b",
  "word!",
  "**“强调”**的",
  "这是**重点。**下一句",
  "**テスト。**テスト",
  "**（括号）**后",
  "前**（括号）**后",
  "그는 **“강조”**라고 말했다",
  "这~~“不”~~是*「重」*点",
];

test("raw marks are never shown and then taken away", () => {
  /** @type {string[]} */
  const flickers = [];
  for (const markdown of WITHOUT_FLICKER) {
    /** @type {string[]} */
    const shown = [];
    const final = shownText(render(units(markdown), { drawn: (root) => shown.push(shownText(root)) }));
    const at = shown.findIndex(
      (text, index) => !final.startsWith(text) || text.length < (shown[index - 1] ?? "").length,
    );
    if (at >= 0) {
      const sequence = [...new Set(shown)].map((text) => JSON.stringify(text)).join(" ");
      flickers.push(`${JSON.stringify(markdown)} after ${JSON.stringify(markdown.slice(0, at + 1))}: ${sequence}`);
    }
  }
  ok(!flickers.length, `${flickers.length} of ${WITHOUT_FLICKER.length} flicker:\n${flickers.join("\n")}`);
});

/** @type {[unfinished: string, selector: string, text: string][]} */
const OPTIMISTIC = [
  ["**bo", "p > strong", "bo"],
  ["*em", "p > em", "em"],
  ["**bold and *bo", "p > strong > em", "bo"],
  ["~~go", "p > del", "go"],
  ["`co", "p > code", "co"],
  ["$x + 1", "p > math mn", "1"],
  ["\\(\\frac{a", "p > math mfrac", "a"],
  ["so \\[x", "p > math[display] mi", "x"],
  ["\\[\nx", ".md-math > math mi", "x"],
  ["$$\n\\left(x", ".md-math > math mi", "x"],
  ["\\begin{gather}\nx", ".md-math > math mi", "x"],
  ["[te", "p", "te"],
  ["[text](https://exam", "p", "text"],
  ["## He", "h2", "He"],
  ["> qu", "blockquote > p", "qu"],
  ["- it", "ul > li", "it"],
  ["1. it", "ol > li", "it"],
  ["- a\n  - b", "ul ul > li", "b"],
  ["- [x] ta", "li > input[checked]", ""],
  ["```py\nco", "pre > code", "co"],
  ["| a | b |\n|---|---|\n| 1", "table tbody td", "1"],
  ["| a | b |\n|---|---|", "table th", "a"],
];

test("what is unfinished is shown as what it will be", () => {
  for (const [unfinished, selector, text] of OPTIMISTIC) {
    const root = document.createElement("div");
    const renderer = createRenderer(root);
    for (const unit of unfinished) {
      renderer.write(unit);
      drawFrame();
    }
    equal([unfinished, root.querySelector(selector)?.textContent.trim() ?? root.innerHTML], [unfinished, text]);
  }
});

/**
 * Stream the text, a character a frame, and say what was changed in elements that were followed by at least two others
 * before that frame, and how many nodes were removed in all.
 *
 * @param {string} text
 * @param {(root: Element) => Element[]} elementsOf in the document's order
 */
function changesBehind(text, elementsOf) {
  const root = document.createElement("div");
  const observer = new MutationObserver(() => {});
  observer.observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
  /** @type {Element[]} */
  let finished = [];
  /** @type {Set<Element>} */
  const touched = new Set();
  let removed = 0;
  render(units(text), {
    root,
    drawn() {
      for (const record of observer.takeRecords()) {
        // An open formula is made anew each time.
        removed += [...record.removedNodes].filter((node) => !(node instanceof MathMLElement)).length;
        for (const element of finished) if (concerns(record, element)) touched.add(element);
      }
      finished = elementsOf(root).slice(0, -2);
    },
  });
  return { root, touched: [...touched], removed };
}

/**
 * Say whether a mutation was in an element, took it away, or moved it down.
 *
 * @param {MutationRecord} record
 * @param {Element} element
 */
function concerns({ target, addedNodes, removedNodes }, element) {
  return (
    element.contains(target) ||
    [...removedNodes].some((node) => node.contains(element)) ||
    [...addedNodes].some((node) => isBefore(node, element))
  );
}

/**
 * @param {Node} node
 * @param {Element} element
 */
function isBefore(node, element) {
  const position = node.compareDocumentPosition(element);
  return !(position & Node.DOCUMENT_POSITION_DISCONNECTED) && position & Node.DOCUMENT_POSITION_FOLLOWING;
}

/** @param {Element} root */
const blocks = (root) =>
  [...root.children].flatMap((child) =>
    child.matches(".md-group") ? [...child.children] : child.matches(".md-footnotes") ? [] : [child],
  );

/** What waits for definitions at the answer's end, and may change when they come. */
const LATE = ["proxy", "drafts", "Token_bucket"].map((part) => `a[href*=${part}]`).join() + ", .md-footnote";

test("a finished block is never touched again, but for late references and footnotes", () => {
  const { touched } = changesBehind(ANSWER, blocks);
  const others = touched.filter((block) => !block.matches(LATE) && !block.querySelector(LATE));
  equal(others.map((block) => block.outerHTML.slice(0, 300)), []);
});

test("less than a node is removed in ten tokens", () => {
  const { removed } = changesBehind(ANSWER, blocks);
  const perToken = removed / (ANSWER.length / TOKEN);
  ok(perToken < 0.1, `${perToken.toFixed(3)} nodes were removed for each token`);
});

const NUMBERS = Array.from({ length: 80 }, (_, index) => index + 1);

/** @type {[name: string, text: string, selector: string][]} */
const GROWING = [
  ["item of a list", NUMBERS.map((n) => `- item **${n}**`).join("\n"), "li"],
  ["item of a loose list", NUMBERS.map((n) => `${n}. item ${n}\n\n   and more`).join("\n\n"), "li"],
  ["item of a nested list", `- outer\n${NUMBERS.map((n) => `  - item ${n}`).join("\n")}`, "ul ul > li"],
  ["row of a table", `| a | b |\n|---|---|\n${NUMBERS.map((n) => `| ${n} | \`${n}\` |`).join("\n")}`, "tr"],
  ["group of lines of code", `\`\`\`js\n${NUMBERS.map((n) => `line(${n});\n`).join("")}\`\`\`\n`, ".md-lines"],
  ["paragraph of a quote", NUMBERS.map((n) => `> text *${n}*\n>\n`).join(""), "blockquote > p"],
];

for (const [name, text, selector] of GROWING) {
  test(`a finished ${name} is never touched again`, () => {
    const { root, touched } = changesBehind(text, (growing) => [...growing.querySelectorAll(selector)]);
    ok(root.querySelectorAll(selector).length > 2);
    equal(touched.map((element) => element.outerHTML.slice(0, 300)), []);
  });
}

/** @type {[before: string, selected: string, after: string][]} */
const SELECTED = [
  ["Some text that is ", "being read", " while **more** of `it`\n[comes](https://example.org).\n\nNew text.\n"],
  ["Some **bold text that ", "is read", " while** more of it comes.\n\nNew text.\n"],
  ["Some `code that ", "is read", " while` more of it comes.\n\nNew text.\n"],
  ["# A heading ", "being read", " while it grows\n\nText.\n"],
  ["- a heading ", "being read", " in an item\n  ===\n- two\n\nText.\n"],
  ["- one\n- an item ", "being read", " while it grows\n- three\n\n  loosened\n\nText.\n"],
  ["> a quote ", "being read", " while it grows\n> and grows\n\nText.\n"],
  ["```\ncode ", "being read", " while it grows\nand grows\n```\n\nText.\n"],
  ["| a | b |\n|---|---|\n| a cell ", "being read", " | while |\n| it | grows |\n\nText.\n"],
];

test("a selection made while the text grows stays", () => {
  const root = document.createElement("div");
  document.body.append(root);
  for (const [before, selected, after] of SELECTED) {
    root.replaceChildren();
    const renderer = createRenderer(root);
    const write = (/** @type {string} */ text) => {
      for (const unit of units(text)) {
        renderer.write(unit);
        drawFrame();
      }
    };
    write(before + selected);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && !walker.currentNode.textContent?.includes(selected));
    const text = /** @type {Text} */ (walker.currentNode);
    ok(text instanceof Text, `${before}: ${selected} is not in one text node`);
    const start = text.data.indexOf(selected);
    getSelection()?.setBaseAndExtent(text, start, text, start + selected.length);
    write(after);
    renderer.end();
    equal([before, String(getSelection())], [before, selected]);
    ok(getSelection()?.anchorNode === text && text.isConnected, before);
  }
  root.remove();
});

test("the way back from a footnote stands after its text, also where that goes on", () => {
  const root = document.createElement("div");
  document.body.append(root);
  const renderer = createRenderer(root);
  renderer.write("See[^1]\n\n[^1]: First.\n");
  drawFrame();
  /** @type {HTMLElement} */ (root.querySelector("sup a")).click();
  renderer.write("\n    Second.\n");
  drawFrame();
  renderer.end();
  equal(root.querySelector(".md-footnotes li")?.textContent, "First.Second.↩");
  root.remove();
});

test("a footnote that is read keeps the selection and the focus while others come and are numbered", () => {
  const root = document.createElement("div");
  document.body.append(root);
  const renderer = createRenderer(root);
  const write = (/** @type {string} */ text) => {
    renderer.write(text);
    drawFrame();
  };
  write("[^x]: One\n[^y]: Being read\n[^z]: Three\n\n");
  const item = /** @type {HTMLElement} */ (root.querySelectorAll(".md-footnotes li")[1]);
  const text = /** @type {Text} */ (item.querySelector("p")?.firstChild);
  item.focus();
  getSelection()?.setBaseAndExtent(text, 0, text, 5);
  const order = () => [...root.querySelectorAll(".md-footnotes li")].map((note) => note.textContent).join();
  for (const [more, expected] of [
    ["New[^new] and[^y]\n\n", "Being read,One,Three"],
    ["[^new]: Four\n\n", "Four,Being read,One,Three"],
    ["Then[^z] and[^x]. Long enough to be numbered.\n\n", "Four,Being read,Three,One"],
  ]) {
    write(more ?? "");
    equal(order(), expected);
    equal([String(getSelection()), document.activeElement === item], ["Being", true]);
  }
  renderer.end();
  equal([String(getSelection()), document.activeElement === item], ["Being", true]);
  root.remove();
});
