/** Asks the reader whether something that cannot be undone is to be done. */

import { words } from "../words/index.js";
import { makeDialog } from "./dialog.js";
import { element } from "./element.js";

/**
 * Ask; return whether the reader wants it.
 *
 * @param {string} title the question
 * @param {string} text what will be gone
 * @param {string} action the name of the button that does it
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, action) {
  const heading = element("h2", { id: "confirm-title" }, title);
  const dialog = makeDialog("confirm", heading);
  dialog.role = "alertdialog";
  const said = element("p", { id: "confirm-text" }, text);
  const close = (/** @type {string} */ value) => () => dialog.close(value);
  // The focus begins where nothing is lost.
  const cancel = element("button", { type: "button", autofocus: true, onclick: close("") }, words.actions.cancel);
  const sure = element("button", { type: "button", className: "danger", onclick: close("sure") }, action);
  dialog.setAttribute("aria-describedby", said.id);
  dialog.append(element("div", {}, heading, said, element("footer", {}, cancel, sure)));
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "sure");
    });
  });
}
