/** The dialog that tells the keys, from the table that they are heard by. */

import { keyNames, keysHere } from "../keys.js";
import { words } from "../words/index.js";
import { element } from "./element.js";

/** @typedef {import("../keys.js").Key} Key */

export class HelpView {
  #dialog = element("dialog", { className: "help" });

  /** @param {() => void} closed called after it was closed with nothing that had the focus before */
  constructor(closed) {
    this.#dialog.addEventListener("click", ({ target }) => target === this.#dialog && this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      const focused = document.activeElement ?? document.body;
      if (focused === document.body || this.#dialog.contains(focused)) closed();
    });
    document.body.append(this.#dialog);
  }

  open() {
    if (this.#dialog.open) return;
    const title = element("h2", { id: "help-title", tabIndex: -1, autofocus: true }, words.writing.keys);
    const close = element("button", { type: "button", onclick: () => this.#dialog.close() }, words.writing.close);
    const body = element("div", {}, title, element("dl", {}, ...rows()), close);
    this.#dialog.setAttribute("aria-labelledby", title.id);
    this.#dialog.replaceChildren(body);
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
