import { toHtml } from "../js/rich_text.js";
import { equal, test } from "./harness.js";
import { render } from "./spec_dom.js";

const NAMESPACE = 'xmlns="http://www.w3.org/1998/Math/MathML"';

/** By the Markdown, what another program gets of it: the text as it was written, in elements that it knows. */
const COPIED = {
  "# Title\n\n*em* **strong** `code`  \nbreak":
    "<h1>Title</h1><p><em>em</em> <strong>strong</strong> <code>code</code><br />\nbreak</p>",
  '[link](https://e.org/ "T") [![in](https://e.org/a.png)](/b)':
    `<p><a href="https://e.org/" title="T">link</a> <a href="${new URL("/b", document.baseURI)}">in</a></p>`,
  "![alt](https://e.org/a.png) ![](https://e.org/b.png)":
    '<p><a href="https://e.org/a.png">alt</a> <a href="https://e.org/b.png">https://e.org/b.png</a></p>',
  "- [x] done\n- [ ] open\n\n3. three": '<ul><li>☑ done</li><li>☐ open</li></ul><ol start="3"><li>three</li></ol>',
  "- loose\n\n  item\n\n> quote": "<ul><li><p>loose</p><p>item</p></li></ul><blockquote><p>quote</p></blockquote>",
  "`co\u200bde`\n\n```js\na < b; \u202e\u{e0041}\n\nc\n```":
    "<p><code>code</code></p><pre><code>a &lt; b; \n\nc\n</code></pre>",
  [`\`\`\`\n${"line\n".repeat(40)}\`\`\``]: `<pre><code>${"line\n".repeat(40)}</code></pre>`,
  "| a | b |\n|---|--:|\n| 1 | `2` |":
    '<table><thead><tr><th>a</th><th align="right">b</th></tr></thead>' +
    '<tbody><tr><td>1</td><td align="right"><code>2</code></td></tr></tbody></table>',
  "$x^2$\n\n$$\n\\frac{a}{b}\n$$":
    `<p><math ${NAMESPACE}><msup><mi>x</mi><mn>2</mn></msup></math></p>` +
    `<p><math ${NAMESPACE} display="block"><mfrac><mi>a</mi><mi>b</mi></mfrac></math></p>`,
  "<details>\nmore\n</details>": "<p>&lt;details&gt;<br />more<br />&lt;/details&gt;</p>",
  "Left\n\n- من اليمين\n\n  left\n\n  ```\n  code\n  ```":
    '<p>Left</p><ul><li dir="rtl"><p>من اليمين</p><p dir="ltr">left</p><pre dir="ltr"><code>code\n</code></pre></li></ul>',
  "> من اليمين\n>\n> left":
    '<blockquote dir="rtl"><p>من اليمين</p><p dir="ltr">left</p></blockquote>',
  "Text[^a] and[^b]\n\n[^b]: B\n[^a]: A *note*":
    "<p>Text<sup>1</sup> and<sup>2</sup></p><hr /><ol><li><p>A <em>note</em></p></li><li><p>B</p></li></ol>",
};

for (const [markdown, html] of Object.entries(COPIED)) {
  test(`rich text of ${JSON.stringify(markdown.slice(0, 60))}`, () => {
    const root = render([markdown]);
    // As where a reader followed a footnote, whose text has a way back then.
    /** @type {HTMLElement | null} */ (root.querySelector(".md-footnote a"))?.click();
    equal(toHtml(root), `<div xmlns="http://www.w3.org/1999/xhtml">${html}</div>`);
  });
}

test("an answer's rich text has every part of it, one after the other", () => {
  const parts = Object.entries(COPIED).slice(0, -1);
  const html = parts.map(([, part]) => part).join("<hr />");
  equal(toHtml(render([parts.map(([part]) => part).join("\n\n***\n\n")])), `<div xmlns="http://www.w3.org/1999/xhtml">${html}</div>`);
});
