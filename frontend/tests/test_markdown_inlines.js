/** What stands in a paragraph beyond the specifications' examples: bare addresses, emphasis in CJK, spans in spans. */

import { render, units } from "./spec_dom.js";
import { equal, ok, test } from "./harness.js";

/** @param {string} markdown */
function linksOf(markdown) {
  return [...render([markdown]).querySelectorAll("a")].map((link) => [link.textContent, link.getAttribute("href")]);
}

/** @type {[markdown: string, ...addresses: string[]][]} */
const ADDRESSES = [
  ["请看https://example.com。谢谢", "https://example.com"],
  ["https://example.comです", "https://example.com"],
  ["https://example.com에서", "https://example.com"],
  ["（https://example.com/a_(b)）と", "https://example.com/a_(b)"],
  ["“https://example.com/a”的", "https://example.com/a"],
  ["https://example.com/docs，https://example.org/了解", "https://example.com/docs", "https://example.org/"],
  ["https://example.com/a？b", "https://example.com/a"],
  ["https://example.com/%E4%B8%AD?q=1。", "https://example.com/%E4%B8%AD?q=1"],
  ["“https://example.com/”, he said", "https://example.com/"],
  ["https://example.com/Michelson–Morley", "https://example.com/Michelson–Morley"],
  ["https://münchen.de/straße и https://пример.рф/ή", "https://münchen.de/straße", "https://пример.рф/ή"],
  ["http://localhost:3000, http://localhost/path and https://intranet/.", "http://localhost:3000", "http://localhost/path", "https://intranet/"],
  ["http:// and http://- and http://a_b and httpſ://example.com"],
  ["xhttp://localhost and wwww.localhost and www."],
];

test("a bare address is a link as far as it goes, and no further", () => {
  for (const [markdown, ...addresses] of ADDRESSES) {
    equal([markdown, linksOf(markdown).map(([text]) => text)], [markdown, addresses]);
  }
  equal(linksOf("见www.example.com。"), [["www.example.com", "http://www.example.com"]]);
  equal(linksOf("邮箱a@example.comです"), [["a@example.com", "mailto:a@example.com"]]);
});

/** @type {[markdown: string, html: string][]} */
const EMPHASIS = [
  ["**“强调”**的", "<strong>“强调”</strong>的"],
  ["这是**重点。**下一句", "这是<strong>重点。</strong>下一句"],
  ["**テスト。**テスト", "<strong>テスト。</strong>テスト"],
  ["**（括号）**后", "<strong>（括号）</strong>后"],
  ["前**「括号」**后", "前<strong>「括号」</strong>后"],
  ["前*(a)*后~~“不”~~是", "前<em>(a)</em>后<del>“不”</del>是"],
  ["**[한글](/u)**은", '<strong><a href="/u">한글</a></strong>은'],
  ["𠮷**“字”**𠮷", "𠮷<strong>“字”</strong>𠮷"],
  // Where there is none of it, the specification's rules are as they were.
  ["a**“b”**c", "a**“b”**c"],
  ["**b.**c", "**b.**c"],
  ["前_后_前", "前_后_前"],
];

test("emphasis may stand beside Chinese, Japanese and Korean without spaces", () => {
  for (const [markdown, html] of EMPHASIS) {
    for (const pieces of [[markdown], units(markdown)]) {
      const paragraph = /** @type {Element} */ (render(pieces).querySelector("p"));
      for (const link of paragraph.querySelectorAll("a")) {
        for (const name of ["target", "rel", "data-host"]) link.removeAttribute(name);
      }
      equal([markdown, paragraph.innerHTML], [markdown, html]);
    }
  }
});

/** As many as the elements in elements there may be in a paragraph. */
const DEPTH = 64;

/** @type {[begin: string, end: string][]} */
const NESTED = [
  ["**a ", " b**"],
  ["*a ", " b*"],
  ["_a ", " b_"],
  ["~~a ", " b~~"],
  ["***a ", " b***"],
  ["**a *b ", " c* d**"],
  ["*a **[b ", " c](/d)** e*"],
  ["[", "](/a)"],
  ["![", "](/a)"],
  ["![*a ", " b*](/a)"],
  ["*", "*"],
];

/** @param {Element} element @returns {number} */
function depthOf(element) {
  let depth = 0;
  for (const leaf of element.querySelectorAll(":not(:has(*))")) {
    let own = 0;
    for (let at = /** @type {Element | null} */ (leaf); at && at !== element; at = at.parentElement) own += 1;
    depth = Math.max(depth, own);
  }
  return depth;
}

test("spans nest only so deep, and no text is lost", () => {
  const letters = (/** @type {string} */ text) => text.replace(/\(\/.\)|[^a-e]/g, "");
  for (const [begin, end] of NESTED) {
    const count = 3000;
    const closed = `x${begin.repeat(count)}y${end.repeat(count)}z`;
    const opened = begin.repeat(count);
    for (const text of [closed, opened]) {
      const [whole, cut] = [render([text]), render(text.match(/[^]{1,999}/g) ?? [], { drawn: check })];
      check(whole);
      ok(whole.isEqualNode(cut), begin);
    }
    equal([begin, letters(render([closed]).textContent)], [begin, letters(closed)]);

    /** @param {Element} root */
    function check(root) {
      const depth = depthOf(root.querySelector("p") ?? root);
      ok(depth <= DEPTH + 1, `${begin} nests ${depth} deep`);
    }
  }
});

test("the tree is as it was when drawing the unfinished line fails", async () => {
  const { BlockParser } = await import("../js/markdown/blocks.js");
  const parser = new BlockParser({ define() {}, defineFootnote() {} });
  parser.add("a paragraph");
  const before = JSON.stringify(parser.root);
  let thrown = false;
  try {
    parser.withUnfinished("> - a quote", () => {
      throw new RangeError("as if");
    });
  } catch {
    thrown = true;
  }
  ok(thrown);
  equal(JSON.stringify(parser.root), before);
  parser.add("of two lines");
  equal(parser.root.children.map(({ text }) => text), ["a paragraph\nof two lines\n"]);
});
