/** What the buttons of code and tables copy, and what they do where nothing can be copied. */

import { ENGLISH } from "../js/markdown/words.js";
import { equal, ok, test } from "./harness.js";
import { render, units } from "./spec_dom.js";

/**
 * Press the text's first copy button, and return the button and what was copied.
 *
 * @param {Iterable<string>} pieces of Markdown
 * @param {string} label
 * @param {boolean} [allowed] whether the browser lets pages copy
 */
async function press(pieces, label, allowed = true) {
  const root = document.createElement("div");
  document.body.replaceChildren(root);
  render(pieces, { root });
  const button = [...root.querySelectorAll("button")].find(({ textContent }) => textContent === label);
  if (!button) throw new Error(`no button ${label}`);
  const said = new Promise((resolve) => new MutationObserver(resolve).observe(button, { childList: true }));
  /** @type {string | null} */
  let copied = null;
  const refuse = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  const writeText = allowed ? async (/** @type {string} */ text) => void (copied = text) : refuse;
  Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
  document.execCommand = () => false;
  button.click();
  await said;
  return { root, button, copied };
}

test("code is copied without the end of its last line, which would run a command when it is pasted", async () => {
  for (const [code, copied] of [
    ["```sh\nrm a\n```", "rm a"],
    ["```sh\nls\n\nrm a\n\n```", "ls\n\nrm a\n"],
    ["    indented\n    code\n", "indented\ncode"],
    [`\`\`\`\n${"line\n".repeat(100)}\`\`\``, "line\n".repeat(100).slice(0, -1)],
    ["```\n```", ""],
  ]) equal((await press([code ?? ""], ENGLISH.copy)).copied, copied);
});

const EMOJIS = "👨‍👩‍👧 👩🏽‍💻 🏳️‍🌈 🧑🏿‍❤️‍💋‍🧑🏻";

test("the joiners of an emoji are part of the code, however it is cut; other invisible characters are not", async () => {
  const whole = render([`\`\`\`\n${EMOJIS}\n\`\`\`\n\n\`${EMOJIS}\``]);
  ok(!whole.querySelector(".md-invisible"));
  for (const part of [1, 2, 3, 4]) {
    const text = `\`\`\`\n${EMOJIS} a\u200db\u202e\n\u200dc\n\`\`\``;
    const pieces = part === 4 ? units(text) : [text.slice(0, part * 5), text.slice(part * 5)];
    const { root, copied } = await press(pieces, ENGLISH.copy);
    equal(copied, `${EMOJIS} ab\nc`);
    equal([...root.querySelectorAll(".md-invisible")].map((mark) => mark.textContent), ["U+200D", "U+202E", "U+200D"]);
  }
});

test("a table is copied for a spreadsheet, without what nobody sees", async () => {
  const table = "| a | `b\u202e` |\n|---|---|\n| one<br>two | $x^2$ |\n| **three** |";
  equal((await press([table], ENGLISH.copyTable)).copied, "a\tb\none two\tx^2\nthree\t");
});

test("where nothing can be copied, the button says so and what it would copy is selected", async () => {
  for (const [text, label, selected] of [
    ["Before\n\n```\nsome code\n```\n\nafter", ENGLISH.copy, "some code"],
    ["Before\n\n| a |\n|---|\n| b |\n\nafter", ENGLISH.copyTable, "a b"],
  ]) {
    const { button } = await press([text ?? ""], label ?? "", false);
    equal(button.textContent, ENGLISH.copyFailed);
    equal(String(getSelection()).trim().replace(/\s+/g, " "), selected);
  }
});
