/**
 * One formula on the screen. While it is open, what has come of it is shown as the formula that it will be. Once that is
 * not understood, what was shown before stays until the formula is complete, or understood again; a complete formula
 * that is not understood is shown as its source, and so is one of which nothing could be shown.
 */

import { visibleText } from "./invisible.js";
import { mathElement } from "./maths.js";

/** From this length on, an open formula is drawn less often, the longer the less: the costs of all times are linear. */
const LONG = 250;
/** Longer than any formula: shown as it was until it is complete. */
const LONGEST = 5000;

export class FormulaView {
  /** What stands for it now. @type {Element | null} */
  element = null;
  #isDisplay;
  #isOpen = true;
  #source = "";
  #nextLength = 0;

  /** @param {boolean} isDisplay */
  constructor(isDisplay) {
    this.#isDisplay = isDisplay;
  }

  /**
   * Return its element, which may be another one than before.
   *
   * @param {string} source
   * @param {boolean} isOpen whether more of it may follow
   */
  draw(source, isOpen) {
    if (this.element && source === this.#source && isOpen === this.#isOpen) return this.element;
    const isSame = isOpen && this.element !== null && source.startsWith(this.#source);
    if (isSame && source.length < this.#nextLength) return this.element;
    this.#isOpen = isOpen;
    this.#source = source;
    this.#nextLength = source.length < LONG ? 0 : source.length * (17 / 16);
    const isTooLong = isOpen && source.length > LONGEST;
    const made = isTooLong ? null : mathElement(source, this.#isDisplay, { isOpen });
    if (made) this.element = made;
    else if (!isSame || !showsFormula(this.element)) this.element = sourceElement(source);
    return this.element;
  }
}

/** @param {Element | null} element */
function showsFormula(element) {
  const content = element?.localName === "math" && element.querySelector("semantics > :first-child");
  return Boolean(content && content.textContent);
}

/** @param {string} source */
function sourceElement(source) {
  const element = document.createElement("code");
  element.className = "md-maths-source";
  element.append(...visibleText(source));
  return element;
}
