/** Dialogs over the page: named by their titles, closed by Esc or by a press beside them. */

import { element } from "./element.js";

/**
 * Make a dialog, which is in the page from then on, and closed.
 *
 * @param {string} className
 * @param {HTMLElement} title what it is called; it has an id
 * @param {() => void} [closed] called after it was closed with nothing that had the focus before
 */
export function makeDialog(className, title, closed = () => {}) {
  const dialog = element("dialog", { className });
  dialog.setAttribute("aria-labelledby", title.id);
  closeBeside(dialog);
  dialog.addEventListener("close", () => {
    const focused = document.activeElement ?? document.body;
    if (focused === document.body || dialog.contains(focused)) closed();
  });
  document.body.append(dialog);
  return dialog;
}

/**
 * Let a press beside a dialog close it; not one that begins in it, as when text is selected.
 *
 * @param {HTMLDialogElement} dialog whose content fills it
 */
export function closeBeside(dialog) {
  let beganBeside = false;
  dialog.addEventListener("pointerdown", ({ target }) => (beganBeside = target === dialog));
  dialog.addEventListener("click", ({ target }) => target === dialog && beganBeside && dialog.close());
}
