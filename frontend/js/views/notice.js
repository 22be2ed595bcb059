/** Says once that tokens arrive in clumps, and what helps. Loaded when they do. */

import { words } from "../words/index.js";
import { element } from "./element.js";

/**
 * @param {HTMLElement} root empty and hidden
 * @param {import("./conversation.js").After} after
 */
export function tellOfClumps(root, { say, left }) {
  const dismiss = () => {
    root.hidden = true;
    left();
  };
  root.append(
    element("p", {}, words.reading.clumps),
    element("button", { type: "button", onclick: dismiss }, words.writing.dismiss),
  );
  root.hidden = false;
  say(words.reading.clumps);
}
