/** The dialog that tells the keys, from the table that they are heard by. */

import { keyNames, keysHere } from "../keys.js";
import { words } from "../words/index.js";
import { makeDialog } from "./dialog.js";
import { element } from "./element.js";

/** @typedef {import("../keys.js").Key} Key */

export class HelpView {
  #title = element("h2", { id: "help-title", tabIndex: -1, autofocus: true }, words.page.keys);
  #dialog;

  /** @param {() => void} closed called after it was closed with nothing that had the focus before */
  constructor(closed) {
    this.#dialog = makeDialog("help", this.#title, closed);
  }

  open() {
    if (this.#dialog.open) return;
    const close = element("button", { type: "button", className: "done", onclick: () => this.#dialog.close() }, words.page.close);
    this.#dialog.replaceChildren(element("div", {}, this.#title, element("dl", {}, ...rows()), close));
    // Read from its beginning: else the focus, and so the view, would go to the button at its end.
    this.#dialog.showModal();
  }
}

/** One row for each thing to be done, with all its keys. */
function rows() {
  /** @type {Map<Key["action"], HTMLElement>} */
  const rows = new Map();
  for (const key of keysHere()) {
    const row = rows.get(key.action) ?? element("div", {}, element("dt", {}, words.keys[key.action]));
    rows.set(key.action, row);
    row.append(element("dd", {}, ...keyNames(key).map((name) => element("kbd", {}, name))));
  }
  return rows.values();
}
