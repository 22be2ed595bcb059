/** A button that copies, and says that it did; where that is not possible it selects, so that the reader can. */

import { copy } from "../clipboard.js";

/** How long it says so. */
const SAID_MS = 2000;

/**
 * @template {Element} Source
 * @param {import("./words.js").Words} words
 * @param {string} label
 * @param {Source} source what is selected when copying fails
 * @param {(source: Source) => string} textOf what is copied of it
 */
export function copyButton(words, label, source, textOf) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  let timer = 0;
  button.addEventListener("click", async () => {
    const copied = await copy(textOf(source));
    if (!copied) getSelection()?.selectAllChildren(source);
    button.textContent = copied ? words.copied : words.copyFailed;
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = label), SAID_MS);
  });
  return button;
}
