/**
 * The fields of the settings: each has its name, a short explanation, and beside it what is wrong with what was written.
 *
 * What is wrong is not taken, and not lost: it stays in the field, and what was set before holds.
 */

import { countChars } from "../prompt.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";

let made = 0;

/**
 * @template {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Input
 */
class Field {
  /** @type {Input} */
  input;
  #note;
  #explanation;
  #error = element("p", { className: "field-error", role: "alert", hidden: true });

  /**
   * @param {Input} input
   * @param {string} name
   * @param {string} explanation
   */
  constructor(input, name, explanation) {
    const id = `field-${(made += 1)}`;
    this.input = input;
    input.id = id;
    this.#explanation = explanation;
    this.#note = element("p", { className: "field-note", id: `${id}-note` }, explanation);
    this.#error.id = `${id}-error`;
    this.#describe();
    this.root = element("div", { className: "field" }, element("label", { htmlFor: id }, name), input, this.#note, this.#error);
  }

  /** @param {string} text why it has no effect, or "" */
  disable(text) {
    const disabled = text !== "";
    // Of what cannot be changed nothing has to be explained but why.
    update(this.#note, { textContent: disabled ? text : this.#explanation });
    if (this.input.disabled !== disabled) this.input.disabled = disabled;
  }

  /** @param {string} text what is wrong, or "" */
  refuse(text) {
    if (this.#error.textContent === text) return;
    update(this.#error, { textContent: text, hidden: text === "" });
    this.#describe();
  }

  get isRefused() {
    return !this.#error.hidden;
  }

  #describe() {
    this.input.ariaInvalid = String(this.isRefused);
    this.input.setAttribute("aria-describedby", this.isRefused ? `${this.#error.id} ${this.#note.id}` : this.#note.id);
  }
}

/** @typedef {string | number | null} Value */

/**
 * A field to write in.
 *
 * @template {Value} Kind
 * @extends {Field<HTMLInputElement | HTMLTextAreaElement>}
 */
export class WrittenField extends Field {
  #read;
  #take;
  /** What is set. @type {Kind | undefined} */
  #value;
  /** What was set before something was written. @type {Kind | undefined} */
  #before;

  /**
   * @param {HTMLInputElement | HTMLTextAreaElement} input
   * @param {{name: string, explanation: string}} says
   * @param {(text: string) => {value: Kind} | {wrong: string}} read
   * @param {(value: Kind) => void} take called when something else is to be set
   */
  constructor(input, { name, explanation }, read, take) {
    super(input, name, explanation);
    this.#read = read;
    this.#take = take;
    input.addEventListener("input", () => this.#written());
    input.addEventListener("change", () => this.leave());
  }

  /** @param {Kind} value what is set; what is written stays unless something else has set it */
  draw(value) {
    if (this.#value === value) return;
    this.#value = this.#before = value;
    this.input.value = value === null ? "" : String(value);
    this.refuse("");
    grow(this.input);
  }

  /** Forget what is written: it was for another conversation. */
  reset() {
    this.#value = undefined;
  }

  /** Say what is wrong, now that it is all written. Returns whether it is. */
  leave() {
    const read = this.#read(this.input.value);
    if ("wrong" in read) this.refuse(read.wrong);
    else this.#before = read.value;
    return "wrong" in read;
  }

  #written() {
    const read = this.#read(this.input.value);
    // Not yet: it may become right. What was said already goes when it has.
    if ("value" in read) this.refuse("");
    else if (this.isRefused) this.refuse(read.wrong);
    // The right beginning of something wrong was never meant.
    const value = "value" in read ? read.value : /** @type {Kind} */ (this.#before);
    if (value !== this.#value) {
      this.#value = value;
      this.#take(value);
    }
    grow(this.input);
  }
}

/**
 * A field with a list to choose from.
 *
 * @extends {Field<HTMLSelectElement>}
 */
export class ChoiceField extends Field {
  #names = "";

  /**
   * @param {{name: string, explanation: string}} says
   * @param {(value: string) => void} take
   */
  constructor({ name, explanation }, take) {
    super(element("select"), name, explanation);
    this.input.addEventListener("change", () => take(this.input.value));
  }

  /**
   * @param {[string, string][]} choices values and names
   * @param {string} value
   */
  draw(choices, value) {
    const names = JSON.stringify(choices);
    if (this.#names !== names) {
      this.#names = names;
      this.input.replaceChildren(...choices.map(([value, textContent]) => element("option", { value, textContent })));
    }
    if (this.input.value !== value) this.input.value = value;
  }
}

/**
 * A field for a number that may be left to the model.
 *
 * @param {{name: string, explanation: string, wrong: string, isRight: (value: number) => boolean}} says
 * @param {(value: number | null) => void} take
 * @returns {WrittenField<number | null>}
 */
export function numberField({ wrong, isRight, ...says }, take) {
  // Not of the type "number": what is no number could not be read back, and a wheel would change it.
  const input = element("input", { type: "text", inputMode: "decimal", autocomplete: "off", placeholder: words.settings.modelsOwn });
  const read = (/** @type {string} */ text) => {
    const value = readNumber(text);
    return value === null || isRight(value) ? { value } : { wrong };
  };
  return new WrittenField(input, says, read, take);
}

/**
 * A field for a longer text.
 *
 * @param {{name: string, explanation: string, wrong: (most: number) => string, most: () => number}} says `most` is how many
 *   characters it may have
 * @param {(value: string) => void} take
 * @returns {WrittenField<string>}
 */
export function textField({ wrong, most, ...says }, take) {
  const input = element("textarea", { rows: 2, dir: "auto", autocomplete: "off" });
  const read = (/** @type {string} */ text) => (countChars(text) <= most() ? { value: text } : { wrong: wrong(most()) });
  return new WrittenField(input, says, read, take);
}

/**
 * A field that is on or off.
 *
 * @extends {Field<HTMLInputElement>}
 */
export class SwitchField extends Field {
  /**
   * @param {{name: string, explanation: string}} says
   * @param {(value: boolean) => void} take
   */
  constructor({ name, explanation }, take) {
    super(element("input", { type: "checkbox" }), name, explanation);
    this.root.classList.add("switch");
    this.input.addEventListener("change", () => take(this.input.checked));
  }

  /** @param {boolean} value */
  draw(value) {
    update(this.input, { checked: value });
  }
}

/**
 * Read a number in the digits and with the decimal sign of any language that the page speaks, or null for none; NaN for
 * what is not one.
 *
 * @param {string} text
 */
export function readNumber(text) {
  const plain = text
    .trim()
    .replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) % 16))
    .replace(/[,\u066b]/, ".");
  if (plain === "") return null;
  return /^(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : NaN;
}

/** @param {HTMLElement} input */
function grow(input) {
  if (!(input instanceof HTMLTextAreaElement) || CSS.supports("field-sizing", "content")) return;
  input.style.blockSize = "auto";
  input.style.blockSize = `${input.scrollHeight}px`;
}
