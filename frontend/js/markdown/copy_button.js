/** A button that copies, and says that it did. */

import { copy } from "../clipboard.js";

/** How long it says so. */
const SAID_MS = 2000;

/**
 * @param {string} label
 * @param {string} done what it says when it has copied
 * @param {() => string} text called when it is pressed
 */
export function copyButton(label, done, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", async () => {
    if (!(await copy(text()))) return;
    button.textContent = done;
    setTimeout(() => (button.textContent = label), SAID_MS);
  });
  return button;
}
