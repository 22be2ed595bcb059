/** How fast and how long an answer was, for those who ask: a button, and a list that it opens. */

import { words } from "../words/index.js";
import { element } from "./element.js";

let made = 0;

export class FiguresView {
  /** @param {import("../answer.js").Answer} answer one that has ended */
  constructor(answer) {
    const rows = words.figures(answer).flatMap(([name, value]) => [
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    ]);
    this.root = element("dl", { className: "figures", hidden: true, id: `figures-${(made += 1)}` }, ...rows);
    this.button = element("button", { type: "button", onclick: () => this.#toggle() }, words.reading.details);
    this.button.ariaExpanded = "false";
    this.button.setAttribute("aria-controls", this.root.id);
  }

  #toggle() {
    this.root.hidden = !this.root.hidden;
    this.button.ariaExpanded = String(!this.root.hidden);
    this.root.scrollIntoView({ block: "nearest" });
  }
}
