/** Which text is a formula, and how one looks while it arrives. */

import { drawFrame, painted, render, units } from "./spec_dom.js";
import { createRenderer } from "../js/markdown/index.js";
import { parseInlines } from "../js/markdown/inlines.js";
import { equal, ok, test } from "./harness.js";
import { linearFault } from "./linear.js";
import { loadPageStyles } from "./styles.js";

/**
 * The formulas of a text, as their sources between `⟨` and `⟩`, within what is shown.
 *
 * @param {string} markdown
 */
function shown(markdown) {
  const root = render([markdown]);
  for (const math of root.querySelectorAll("math")) {
    math.replaceWith(`⟨${math.querySelector("annotation")?.textContent}⟩`);
  }
  for (const code of root.querySelectorAll(".md-maths-source")) code.replaceWith(`⟦${code.textContent}⟧`);
  return [...root.querySelectorAll(".md-group > *")].map((block) => block.textContent);
}

/** @type {[markdown: string, ...blocks: string[]][]} */
const SHOWN = [
  ["\\(x^2\\) and so on", "⟨x^2⟩ and so on"],
  ["so \\( a\\(b \\) it", "so ( a⟨b⟩ it"],
  ["\\(+\\) or \\(=\\)", "⟨+⟩ or ⟨=⟩"],
  ["\\(\\) and \\( \\) and \\[\\\\\\]", "() and ( ) and [\\]"],
  ["a \\(see below\\) b \\[citation needed\\]", "a (see below) b [citation needed]"],
  ["\\(\\text{if not} x\\)", "⟨\\text{if not} x⟩"],
  ["\\(a `b\\)` c\\)", "(a b\\) c)"],
  ["\\(x \\\\) y\\)", "⟨x \\\\) y⟩"],
  ["so \\[x = 1\\] and", "so ⟨x = 1⟩ and"],
  ["\\(\\frac\\)", "⟦\\frac⟧"],
  ["\\(a", "(a"],
  ["text\n\\[\nx\n- y\n\\]\ntext", "text", "⟨x\n- y⟩", "text"],
  ["\\[ x \\]", "⟨x⟩"],
  ["\\[\\begin{aligned}\na &= b \\\\[4pt]\n&= c\n\\end{aligned}\\]", "⟨\\begin{aligned}\na &= b \\\\[4pt]\n&= c\n\\end{aligned}⟩"],
  ["\\[\nx\n\ntext", "[\nx", "text"],
  ["\\[\n\\]", "[\n]"],
  ["\\[\nx\n\\] where", "⟨x⟩ where"],
  ["a\n\\[no link](/url)\nb", "a\n[no link](/url)\nb"],
  ["a\n\\[x]: y", "a\n[x]: y"],
  ["\\begin{align*}\na &= b \\\\\n&= c\n\\end{align*}\ntext", "⟨\\begin{align*}\na &= b \\\\\n&= c\n\\end{align*}⟩", "text"],
  ["\\begin{bmatrix} 1 & 2 \\end{bmatrix}", "⟨\\begin{bmatrix} 1 & 2 \\end{bmatrix}⟩"],
  ["\\begin{gather}\nx\n\\end{align}\n\ntext", "\\begin{gather}\nx\n\\end{align}", "text"],
  ["\\begin{document}\nx\n\\end{document}", "\\begin{document}\nx\n\\end{document}"],
  ["- a\n\n  \\[\n  x\n  \\]", "a⟨x⟩"],
  // Amounts, variables, code.
  ["costs $5 and `a$b`", "costs $5 and a$b"],
  ["$a `b$c` d$", "$a b$c d$"],
  ["$5 or $6", "$5 or $6"],
  ["from $10 to $20, or US$30", "from $10 to $20, or US$30"],
  ["$100k–$200k, $1.5M/$2M", "$100k–$200k, $1.5M/$2M"],
  ["$5 each and 10$ more", "$5 each and 10$ more"],
  ["$HOME and $PATH", "$HOME and $PATH"],
  ["$HOME/$USER:$PATH, ${HOME}/${USER}", "$HOME/$USER:$PATH, ${HOME}/${USER}"],
  ["$HOME and PATH$", "$HOME and PATH$"],
  ["\\$5 and \\$6", "$5 and $6"],
  ["$ x$ and $x $", "$ x$ and $x $"],
  ["$2x$, $1$, $ABC$, $n$th, $x$-axis, $\\$5$", "⟨2x⟩, ⟨1⟩, ⟨ABC⟩, ⟨n⟩th, ⟨x⟩-axis, ⟨\\$5⟩"],
  ["so $$x \\text{ for all } y$$ it", "so ⟨x \\text{ for all } y⟩ it"],
];

for (const [markdown, ...blocks] of SHOWN) {
  test(`formulas of ${JSON.stringify(markdown)}`, () => equal(shown(markdown), blocks));
}

/** No state of these, character by character, shows a formula. */
const NEVER = [
  "costs $5, $10.50, $20/month or $1,000k; US$30 in 2026",
  "$100k–$200k and $5 - $6",
  "echo $HOME and $PATH, $my_variable or ${HOME}/bin",
  "in PHP $foo is what $bar was",
];

test("amounts and variables never look like formulas while they arrive", () => {
  for (const text of NEVER) {
    render(units(text), { drawn: (root) => equal([text, root.querySelector("math")?.outerHTML], [text, undefined]) });
  }
});

/** As models write them, in the middle of an answer. */
const FORMULAS = [
  "$$\nf(x) = \\begin{cases}\nx^2 & \\text{if } x \\ge 0 \\\\\n-x & \\text{otherwise}\n\\end{cases}\n$$",
  "\\[\n\\begin{aligned}\n(a+b)^2 &= (a+b)(a+b) \\\\[4pt]\n&= a^2 + 2ab + b^2 \\\\\n&\\le \\sqrt[3]{\\frac{x_1^2}{\\binom{n}{k}}}\n" +
    "\\end{aligned}\n\\]",
  "\\begin{align*}\n\\nabla \\cdot \\mathbf{E} &= \\frac{\\rho}{\\varepsilon_0} \\\\\n\\oint \\vec{B} \\cdot d\\vec{l} " +
    "&= \\mu_0 \\left( I + \\frac{d\\Phi}{dt} \\right)\n\\end{align*}",
  "\\[ A = \\left[\\begin{array}{cc|c} 1 & 2 & 3 \\\\ \\hline 4 & 5 & 6 \\end{array}\\right], \\quad \\sum_{\\substack{i<n\\\\j}} \\]",
  "so \\[\\underbrace{x + \\cdots + x}_{n \\text{ times}} = \\hat{\\theta} \\tag{1}\\] and \\(\\operatorname{rank}(A) = 2\\)",
  "thus $\\int_0^1 \\frac{x^{2n}}{1+x}\\,\\mathrm{d}x \\xrightarrow{n\\to\\infty} 0$ for all",
];

test("no state of a formula shows its source, and none is lower than the one before", async () => {
  await loadPageStyles();
  await painted();
  const root = document.createElement("div");
  root.style.inlineSize = "22rem";
  document.body.replaceChildren(root);
  for (const formula of FORMULAS) {
    root.replaceChildren();
    let height = 0;
    const drawn = () => {
      const text = root.cloneNode(true);
      for (const annotation of /** @type {Element} */ (text).querySelectorAll("annotation")) annotation.remove();
      ok(!/[\\$]|begin|array/.test(text.textContent ?? ""), `${formula}: ${text.textContent}`);
      const now = root.getBoundingClientRect().height;
      ok(now > height - 2, `${formula}: ${height} px, then ${now} px for ${root.textContent}`);
      height = Math.max(now, height);
    };
    render(formula.match(/[^]{1,3}/g) ?? [], { root, drawn });
    ok(root.querySelector("math"), formula);
  }
});

/** @param {string} text */
function open(text) {
  const root = document.createElement("div");
  const renderer = createRenderer(root);
  for (const unit of units(text)) {
    renderer.write(unit);
    drawFrame();
  }
  return root;
}

test("what is not understood leaves what was understood before it, until the formula is complete", () => {
  equal(open("$$\nx + \\unknown y").querySelector("math mrow")?.textContent, "x+");
  equal(open("\\(x + \\unknown y").querySelector("math mrow")?.textContent, "x+");
  equal(open("$$\n\\unknown y").querySelector(".md-maths-source")?.textContent, "\\unknown y");
  equal(open("$$\nx + \\unknown y$$").querySelector(".md-maths-source")?.textContent, "x + \\unknown y");
});

test("a long formula that is still open costs no more for each character than a short one", () => {
  const work = (/** @type {string} */ text) => {
    const renderer = createRenderer(document.createElement("div"));
    renderer.write("$$\n");
    for (const piece of text.match(/[^]{1,25}/g) ?? []) {
      renderer.write(piece);
      drawFrame();
    }
  };
  const make = (/** @type {number} */ lines) => "\\frac{a}{b} + x_{n+1}^2\n ".repeat(lines);
  equal(linearFault(work, make(2000), make(500)), null);
});

test("many beginnings without an end cost no more than they are long", () => {
  const context = { definition: () => null, isFootnote: () => false, autolinks: false };
  const work = (/** @type {string} */ text) => [true, false].map((open) => parseInlines(text, context, open));
  for (const piece of ["\\(", "\\(x ", "\\[", "$x ", "$x_", "$$", "$a`", "\\(\\[", "x$", "\\\\(", "\\(`"]) {
    const [part, whole] = [25_000, 100_000].map((length) => piece.repeat(length / piece.length));
    equal([piece, linearFault(work, whole ?? "", part ?? "")], [piece, null]);
  }
});
