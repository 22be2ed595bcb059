/** Who wrote an answer, how fast and how long it was, for those who ask: a button, and a list that it opens. */

import { models } from "../models.js";
import { words } from "../words/index.js";
import { element } from "./element.js";

let made = 0;

export class FiguresView {
  #answer;

  /** @param {import("../answer.js").Answer} answer one that has ended */
  constructor(answer) {
    this.#answer = answer;
    this.root = element("dl", { className: "figures", hidden: true, id: `figures-${(made += 1)}` });
    this.button = element("button", { type: "button", onclick: () => this.#toggle() }, words.reading.details);
    this.button.ariaExpanded = "false";
    this.button.setAttribute("aria-controls", this.root.id);
  }

  #toggle() {
    // Not before: writing numbers in a language's way takes a browser longest the first time, when the answer just ends.
    if (!this.root.hasChildNodes()) this.root.append(...rows(this.#answer));
    this.root.hidden = !this.root.hidden;
    this.button.ariaExpanded = String(!this.root.hidden);
    this.root.scrollIntoView({ block: "nearest" });
  }
}

/** @param {import("../answer.js").Answer} answer */
function rows(answer) {
  const { model } = answer;
  return words
    .figures({ ...answer, model: model && models.nameOf(model) })
    .map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, element("bdi", {}, value))));
}
