/**
 * The dialog that takes conversations away and brings others in. It is loaded when it is wanted, with its words and its
 * style sheet, and made once.
 */

import { lazily, loadStyles } from "../lazy.js";
import { Refused, exportFile, importFile } from "../transfer/index.js";
import { words } from "../words/index.js";
import { loadWords } from "../words/transfer/index.js";
import { makeDialog } from "./dialog.js";
import { element, update } from "./element.js";

/**
 * @typedef {import("../transfer/index.js").Whole} Whole
 * @typedef {import("../words/transfer/index.js").TransferWords} TransferWords
 *
 * @typedef {Pick<import("../chats.js").Chats, "store" | "conversations" | "whole">} Chats
 * @typedef {"json" | "markdown"} Form
 */

/** How long a browser may take to begin to save a file, in ms: until then, its address has to be known. */
const SAVED_AFTER_MS = 40_000;

const loadTexts = lazily(
  async () => (await Promise.all([loadWords(words.language), loadStyles("dialog.css"), loadStyles("transfer.css")]))[0],
);

/** @type {TransferView | null} */
let view = null;

/**
 * Open the dialog: of all conversations, with what imports others, or to export one.
 *
 * @param {Chats} chats
 * @param {object} [options]
 * @param {string} [options.id] of the conversation to export
 * @param {() => void} [options.closed] called after it was closed with nothing that had the focus before
 */
export async function openTransfer(chats, { id, closed = () => {} } = {}) {
  const texts = await loadTexts();
  view ??= new TransferView(chats, texts);
  await view.open(id, closed);
}

class TransferView {
  #chats;
  #texts;
  #closed = () => {};
  #id = /** @type {string | undefined} */ (undefined);
  #isBusy = false;
  #title = element("h2", { id: "transfer-title", tabIndex: -1, autofocus: true });
  #what = element("p");
  #exports = /** @type {Record<Form, HTMLButtonElement>} */ ({});
  #file = element("input", { type: "file", accept: ".json,.jsonl,.zip,application/json,application/zip", hidden: true });
  #choose;
  #importing;
  #progress = element("progress");
  #waiting = element("p", { className: "progress", hidden: true });
  /** What was done, for those who listen, too; and what went wrong. */
  #said = element("p", { className: "said", role: "status" });
  #wrong = element("p", { className: "wrong", role: "alert" });
  #refused = element("section", { hidden: true });
  /** Always there, empty or not: a reader's program tells what changes in it. */
  #outcome = element("div", { className: "outcome" }, this.#said, this.#wrong, this.#refused);
  #dialog;

  /**
   * @param {Chats} chats
   * @param {TransferWords} texts
   */
  constructor(chats, texts) {
    this.#chats = chats;
    this.#texts = texts;
    const { dialog } = texts;
    this.#dialog = makeDialog("transfer-dialog", this.#title, () => this.#closed());
    this.#choose = element("button", { type: "button", onclick: () => this.#file.click() }, dialog.choose);
    this.#importing = element(
      "section",
      {},
      element("h3", {}, dialog.importing),
      element("p", {}, dialog.from),
      element("p", { className: "choose" }, this.#choose, element("span", {}, dialog.drop)),
    );
    this.#file.addEventListener("change", () => {
      const [file] = this.#file.files ?? [];
      // Before it is emptied, so that the same one can be chosen again.
      if (file) this.#import(file);
      this.#file.value = "";
    });
    this.#progress.setAttribute("aria-label", dialog.reading);
    this.#waiting.append(dialog.reading, this.#progress);
    const exporting = element("section", {}, element("h3", {}, dialog.exporting), this.#what);
    exporting.append(this.#exportButton("json", dialog.json, dialog.jsonHint));
    exporting.append(this.#exportButton("markdown", dialog.markdown, dialog.markdownHint));
    const close = element("button", { type: "button", className: "done", onclick: () => this.#dialog.close() }, words.page.close);
    this.#dialog.append(
      element(
        "div",
        {},
        this.#title,
        exporting,
        this.#importing,
        this.#file,
        this.#waiting,
        this.#outcome,
        close,
      ),
    );
    this.#takeDrops();
  }

  /**
   * @param {string | undefined} id
   * @param {() => void} closed
   */
  async open(id, closed) {
    if (this.#dialog.open) return;
    const one = (await this.#chats.conversations()).find((conversation) => conversation.id === id);
    this.#id = id;
    this.#closed = closed;
    if (!this.#isBusy) this.#tell("");
    update(this.#title, { textContent: id === undefined ? this.#texts.dialog.title : this.#texts.exportOne(one?.title || words.list.untitled) });
    update(this.#importing, { hidden: id !== undefined });
    await this.#drawCount();
    // Read from its beginning: else the focus, and so the view, would go to a button.
    this.#dialog.showModal();
  }

  async #drawCount() {
    const count = this.#id === undefined ? (await this.#chats.conversations()).length : 1;
    const text = count === 0 ? this.#texts.dialog.nothing : this.#texts.all(count);
    update(this.#what, { textContent: text, hidden: this.#id !== undefined });
    for (const button of Object.values(this.#exports)) update(button, { disabled: count === 0 || this.#isBusy });
    update(this.#choose, { disabled: this.#isBusy });
  }

  /**
   * @param {Form} form
   * @param {string} name
   * @param {string} hint
   */
  #exportButton(form, name, hint) {
    const described = element("span", { id: `transfer-${form}` }, hint);
    const button = element("button", { type: "button", onclick: () => this.#export(form) }, name);
    button.setAttribute("aria-describedby", described.id);
    this.#exports[form] = button;
    return element("p", { className: "choose" }, button, described);
  }

  /** @param {Form} form */
  async #export(form) {
    await this.#busily(async () => {
      const name = await save(await this.#chats.whole(this.#id), form, this.#texts);
      this.#tell(name === "" ? this.#texts.dialog.nothing : this.#texts.saved(name));
    });
  }

  /** @param {File} file */
  async #import(file) {
    const { report, dialog, files } = this.#texts;
    await this.#busily(async () => {
      this.#progress.removeAttribute("value");
      update(this.#waiting, { hidden: false });
      try {
        const done = await importFile(this.#chats.store, file, (count, of) => {
          // When all is read, it is written, which takes its time.
          if (count < of) update(this.#progress, { value: count / of });
          else this.#progress.removeAttribute("value");
        });
        this.#tell(report(done.taken.conversations, done.taken.messages, done.known));
        this.#drawRefused(done.refused);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const reason = /** @type {import("../transfer/index.js").FileReason} */ (error.reason);
        this.#tell("", `${file.name}: ${files[reason] ?? dialog.failed}`);
      } finally {
        update(this.#waiting, { hidden: true });
      }
    });
  }

  /** @param {() => Promise<void>} work */
  async #busily(work) {
    if (this.#isBusy) return;
    const focused = document.activeElement;
    this.#isBusy = true;
    this.#tell("");
    await this.#drawCount();
    try {
      await work();
    } catch (error) {
      this.#tell("", this.#texts.dialog.failed);
      throw error;
    } finally {
      this.#isBusy = false;
      await this.#drawCount();
      // A button that is disabled loses the focus.
      if (this.#dialog.open && focused instanceof HTMLElement) focused.focus();
      this.#outcome.scrollIntoView({ block: "nearest" });
    }
  }

  /**
   * @param {string} said
   * @param {string} [wrong]
   */
  #tell(said, wrong = "") {
    update(this.#said, { textContent: said });
    update(this.#wrong, { textContent: wrong });
    this.#refused.replaceChildren();
    update(this.#refused, { hidden: true });
  }

  /** @param {import("../transfer/index.js").NotTaken[]} refused */
  #drawRefused(refused) {
    if (refused.length === 0) return;
    const { dialog, reasons } = this.#texts;
    const heading = element("h3", { id: "transfer-refused" }, `${dialog.refused} (${refused.length.toLocaleString(words.language)})`);
    const list = element("ul", { tabIndex: 0 });
    list.setAttribute("aria-labelledby", heading.id);
    for (const { which, title, reason } of refused) {
      const name = element("bdi", {}, title === "" ? dialog.untitled(which) : title);
      list.append(element("li", {}, element("strong", {}, name), `: ${reasons[reason]}`));
    }
    this.#refused.replaceChildren(heading, list);
    update(this.#refused, { hidden: false });
  }

  /** A file may be dropped anywhere on the dialog; what lies under it takes none meanwhile (`drop.js`). */
  #takeDrops() {
    this.#dialog.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      event.dataTransfer.dropEffect = this.#importing.hidden || this.#isBusy ? "none" : "copy";
    });
    this.#dialog.addEventListener("drop", (event) => {
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      // Else the browser leaves the page to open the file.
      event.preventDefault();
      event.stopPropagation();
      if (!this.#importing.hidden) this.#import(file);
    });
  }
}

/**
 * @param {Whole[]} conversations
 * @param {Form} form
 * @param {TransferWords} texts
 * @returns {Promise<string>} the name of the file
 */
async function save(conversations, form, texts) {
  if (conversations.length === 0) return "";
  const { you, model } = words.reading;
  const date = new Intl.DateTimeFormat(words.language, { dateStyle: "long", timeStyle: "short" });
  const { name, type, parts } = await exportFile(conversations, form, {
    words: { ...texts.markdown, you, model, ending: words.ending, date: (time) => date.format(time) },
  });
  const url = URL.createObjectURL(new Blob(parts, { type: `${type};charset=utf-8` }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), SAVED_AFTER_MS);
  return name;
}
