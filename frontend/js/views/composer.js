/** Where messages are written. It takes text at any time; while an answer runs, its button stops that answer. */

/** @typedef {import("../chat.js").Chat} Chat */

const HINTS = {
  idle: "Enter sends, Shift + Enter starts a new line",
  running: "Write on, and send after this answer",
};

export class ComposerView {
  #chat;
  #form;
  #input;
  #think;
  #button;
  #hint;

  /**
   * @param {HTMLFormElement} form
   * @param {Chat} chat
   */
  constructor(form, chat) {
    this.#chat = chat;
    this.#form = form;
    this.#input = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
    this.#think = /** @type {HTMLInputElement} */ (form.querySelector("[type=checkbox]"));
    this.#button = /** @type {HTMLButtonElement} */ (form.querySelector("[type=submit]"));
    this.#hint = /** @type {HTMLElement} */ (form.querySelector(".hint"));
    form.addEventListener("submit", (event) => this.#submit(event));
    this.#button.addEventListener("click", (event) => this.#press(event));
    this.#input.addEventListener("keydown", (event) => this.#keydown(event));
    this.#input.addEventListener("input", () => chat.setDraft(this.#input.value));
    this.#think.addEventListener("change", () => chat.setThink(this.#think.checked));
    this.#hint.addEventListener("animationend", () => this.#hint.classList.remove("nudge"));
  }

  draw() {
    const { state, running } = this.#chat;
    if (this.#input.value !== state.draft) this.#input.value = state.draft;
    this.#think.checked = state.think;
    this.#button.classList.toggle("stop", running !== null);
    this.#button.ariaLabel = running ? "Stop" : "Send";
    this.#button.title = running ? "Stop (Esc)" : "Send (Enter)";
    this.#form.classList.toggle("empty", state.draft.trim() === "");
    const hint = running ? HINTS.running : HINTS.idle;
    if (this.#hint.textContent !== hint) this.#hint.textContent = hint;
    this.#grow();
  }

  focus() {
    this.#input.focus();
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    this.#chat.send(this.#input.value);
  }

  /** @param {MouseEvent} event */
  #press(event) {
    if (!this.#chat.running) return;
    event.preventDefault();
    // The second click of a double click on Send is not meant for Stop.
    if (event.detail < 2) this.#chat.stop();
  }

  /** @param {KeyboardEvent} event */
  #keydown(event) {
    // 229: Safari ends a composition before the Enter that ends it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (this.#chat.running) this.#hint.classList.add("nudge");
    else this.#chat.send(this.#input.value);
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#input.style.blockSize = "auto";
    this.#input.style.blockSize = `${this.#input.scrollHeight}px`;
  }
}
