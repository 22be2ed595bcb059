/**
 * Where messages are written. It takes text at any time: while an answer runs, what is sent waits for its end.
 */

import { keysFor, listen, onTouch } from "../keys.js";
import { lazily } from "../lazy.js";
import { models } from "../models.js";
import { countChars, mostChars } from "../prompt.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";

/** @typedef {import("../chats.js").Chats} Chats */

/** The longest text of files, in characters, whose insertion can be undone: some 0.1 s of work in Chromium. */
const MOST_UNDOABLE = 4000;

const loadFiles = lazily(() => import("../files.js"));

export class ComposerView {
  #chats;
  #form;
  #input;
  #think;
  #stop;
  #hint;
  #sent;
  #say;
  /** The messages that wait. @type {import("./outbox.js").OutboxView | null} */
  #outbox = null;
  #editing = element("p", { hidden: true, className: "editing-note" });
  #refused = element("div", { role: "alert" });
  #refusal = element("div", { className: "refusal", hidden: true }, this.#refused);
  /** The draft that the input shows. */
  #draft = "";
  #loadOutbox = lazily(
    () => import("./outbox.js"),
    ({ OutboxView }) => {
      const after = { withdrawn: () => this.#focusEnd(), sent: this.#sent, left: () => this.focus() };
      this.#outbox = new OutboxView(this.#chats, after);
      this.#form.prepend(this.#outbox.root);
      this.#outbox.draw();
    },
  );

  /**
   * @param {HTMLFormElement} form
   * @param {Chats} chats
   * @param {object} after
   * @param {() => void} after.sent called when the reader has sent a message
   * @param {(text: string) => void} after.say called with what is to be told to those who listen to the page
   */
  constructor(form, chats, { sent, say }) {
    const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (form.querySelector(selector));
    this.#chats = chats;
    this.#form = form;
    this.#sent = sent;
    this.#say = say;
    this.#input = /** @type {HTMLTextAreaElement} */ (find("textarea"));
    this.#think = /** @type {HTMLInputElement} */ (find("[type=checkbox]"));
    this.#stop = /** @type {HTMLButtonElement} */ (find(".stop"));
    this.#hint = find(".hint");
    this.#editing.append(
      words.writing.editing,
      element("button", { type: "button", onclick: () => this.#cancelEdit() }, words.actions.cancel),
    );
    this.#refusal.append(element("button", { type: "button", onclick: () => this.#dismiss() }, words.writing.dismiss));
    form.prepend(this.#refusal, this.#editing);

    this.#listenToButtons(find(".send"), find(".attach"), /** @type {HTMLInputElement} */ (find("[type=file]")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    // What was written before this module was there.
    if (this.#input.value !== "") this.#chat.setDraft(this.#chat.state.draft + this.#input.value);
    this.#input.addEventListener("input", () => this.#changed());
    this.#think.addEventListener("change", () => this.#chat.setSettings({ think: this.#think.checked }));
    listen(this.#input, "composer", {
      send: () => this.#send(),
      edit: () => this.#editLast(),
    });
    if (!CSS.supports("field-sizing", "content")) new ResizeObserver(() => this.#grow()).observe(form);
  }

  get #chat() {
    return this.#chats.shown;
  }

  draw() {
    const { state, running, holdsBack } = this.#chat;
    if (this.#draft !== state.draft) {
      this.#draft = state.draft;
      this.#input.value = state.draft;
      this.#form.classList.toggle("empty", state.draft.trim() === "");
      this.#grow();
    }
    this.#drawThink(state.settings);
    // Before it is wanted: there may be no network then.
    if (running || state.outbox.length > 0) this.#loadOutbox();
    this.#outbox?.draw();
    this.#drawStop(running !== null);
    this.#drawEditing(state.editing !== null);
    update(this.#hint, { textContent: words.hint(!holdsBack, onTouch()) });
  }

  focus() {
    this.#input.focus();
  }

  /**
   * Say over the text what could not be done; nothing more than that is said then.
   *
   * @param {string[]} refusals
   */
  refuse(refusals) {
    this.#refusal.hidden = refusals.length === 0;
    this.#refused.replaceChildren(...refusals.map((text) => element("p", {}, text)));
  }

  /** What is to be told to those who listen to the page, or "". */
  get news() {
    const { outbox, editing } = this.#chat.state;
    if (editing !== null) return words.writing.editing;
    return outbox.length === 0 ? "" : words.outbox(outbox.length, this.#chat.holdsBack);
  }

  /** Stop what is under way here: the editing of a message, or else the answer. Returns false when nothing is. */
  escape() {
    if (this.#chat.state.editing !== null) this.#cancelEdit();
    else if (this.#chat.running) this.#chat.stop();
    else return false;
    return true;
  }

  /**
   * Write text files where the caret is, each as a fenced block, and tell which ones are refused.
   *
   * @param {Iterable<File>} files
   */
  async add(files) {
    // The list of an input is emptied with it.
    const given = [...files];
    this.refuse([]);
    const { FileRefused, MAX_FILE_CHARS, apart, fencedBlock, readText } = await loadFiles();
    const added = [];
    const refusals = [];
    for (const file of given) {
      try {
        const block = fencedBlock(file.name, await readText(file));
        if (!this.#insert(apart(block, this.#before))) throw new FileRefused("noRoom");
        added.push(file.name);
      } catch (error) {
        if (!(error instanceof FileRefused)) throw error;
        refusals.push(words.fileRefused(file.name, error.reason, { file: MAX_FILE_CHARS, message: this.#mostChars }));
      }
    }
    this.refuse(refusals);
    if (added.length > 0) this.#say(words.filesAdded(added));
    this.#input.focus();
  }

  /**
   * @param {HTMLElement} send
   * @param {HTMLElement} attach
   * @param {HTMLInputElement} chooser
   */
  #listenToButtons(send, attach, chooser) {
    send.title = `${words.page.send} (${keysFor("send")[0]})`;
    this.#stop.title = `${words.page.stop} (${keysFor("stop")[0]})`;
    // The caret, and with it a phone's keyboard, stays where it is.
    for (const button of [send, this.#stop]) button.addEventListener("mousedown", (event) => event.preventDefault());
    this.#stop.addEventListener("click", () => this.#chat.stop());
    attach.addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      this.add(chooser.files ?? []);
      // The same file can be chosen again.
      chooser.value = "";
    });
  }

  #changed() {
    this.#draft = this.#input.value;
    this.#form.classList.toggle("empty", this.#draft.trim() === "");
    this.#grow();
    this.#chat.setDraft(this.#draft);
  }

  #send() {
    if (this.#input.value.trim() === "") return;
    const waits = !this.#chat.holdsBack;
    const [length, most] = [countChars(this.#input.value), this.#mostChars];
    if (length > most) return this.refuse([words.tooLong(length - most, most)]);
    this.refuse([]);
    this.#chat.sendDraft();
    if (!waits) this.#sent();
    // On touch this would bring up the keyboard of one who has put it away.
    if (!onTouch()) this.#input.focus();
  }

  #editLast() {
    if (this.#input.value !== "" || !this.#chat.editLast()) return false;
    this.#focusEnd();
    return true;
  }

  #cancelEdit() {
    this.#chat.cancelEdit();
    this.#focusEnd();
  }

  #focusEnd() {
    this.draw();
    this.#caretToEnd();
  }

  #caretToEnd() {
    this.#input.focus();
    this.#input.setSelectionRange(this.#input.value.length, this.#input.value.length);
    this.#input.scrollTop = this.#input.scrollHeight;
  }

  /** How many characters a message may have by itself. */
  get #mostChars() {
    const { settings } = this.#chat.state;
    return mostChars(settings, models.named(settings.model));
  }

  /** The text before the caret. */
  get #before() {
    return this.#input.value.slice(0, this.#input.selectionStart);
  }

  /**
   * Write something where the caret is; return false when there is no room for it.
   *
   * @param {string} text
   */
  #insert(text) {
    const { value, selectionStart, selectionEnd } = this.#input;
    if (countChars(this.#before + text + value.slice(selectionEnd)) > this.#mostChars) return false;
    this.#input.focus();
    // Only this command can be undone by the reader, but its cost grows with the square of the lines.
    if (text.length > MOST_UNDOABLE || !document.execCommand("insertText", false, text)) {
      this.#input.setRangeText(text, selectionStart, selectionEnd, "end");
      this.#changed();
    }
    return true;
  }


  #dismiss() {
    this.refuse([]);
    this.#input.focus();
  }

  /** @param {import("../store.js").Settings} settings */
  #drawThink({ think, model }) {
    const can = models.named(model).thinking;
    update(this.#think, { checked: think && can, disabled: !can, title: can ? "" : words.settings.notTaken });
    // Where none of them can, there is nothing to choose.
    const label = this.#think.parentElement;
    if (label) update(label, { hidden: !can && !models.list.some(({ thinking }) => thinking) });
  }

  /** @param {boolean} running */
  #drawStop(running) {
    if (this.#stop.hidden !== running) return;
    const focused = document.activeElement === this.#stop;
    this.#stop.hidden = !running;
    if (focused) this.#input.focus();
  }

  /** @param {boolean} editing */
  #drawEditing(editing) {
    if (this.#editing.hidden !== editing) return;
    this.#editing.hidden = !editing;
    // "Edit message" under an answer goes away when it has done its work.
    if (editing) this.#caretToEnd();
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#input.style.blockSize = "auto";
    this.#input.style.blockSize = `${this.#input.scrollHeight}px`;
  }
}
