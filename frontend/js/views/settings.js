/**
 * The dialog with the settings of the conversation that is shown. Loaded when it is first wanted.
 *
 * What is set holds at once, so nothing has to be saved; what replaces much can be undone.
 */

import { models } from "../models.js";
import { defaultSettings } from "../store.js";
import { words } from "../words/index.js";
import { makeDialog } from "./dialog.js";
import { element, update } from "./element.js";
import { PresetsView } from "./presets.js";
import { SwitchField, numberField, textField } from "./settings_fields.js";

/** @typedef {import("../store.js").Settings} Settings */

export class SettingsView {
  #chats;
  /** Whose settings are drawn. @type {import("./settings_button.js").Chats["shown"] | null} */
  #chat = null;
  #dialog;
  #presets;
  #fields;
  #modelName = element("bdi");
  #modelNote = element("p", { className: "field-note" });
  #model = element("div", {}, element("p", { className: "model-name" }, words.page.model, this.#modelName), this.#modelNote);
  #said = element("p", { role: "status" });
  /** @type {(() => unknown) | undefined} */
  #undo;
  #undoButton = element("button", { type: "button", hidden: true, onclick: () => this.#takeBack() }, words.actions.undo);
  #title = element("h2", { id: "settings-title", tabIndex: -1 }, words.page.settings);

  /**
   * @param {import("./settings_button.js").Chats} chats
   * @param {() => void} closed called after it was closed with nothing that had the focus before
   */
  constructor(chats, closed) {
    this.#chats = chats;
    this.#fields = this.#makeFields();
    this.#presets = new PresetsView(chats.store, {
      use: (settings) => this.#replace(settings),
      say: (text, undo) => this.#say(text, undo),
    });
    this.#dialog = makeDialog("settings", this.#title, closed);
    this.#dialog.append(this.#body(), this.#foot());
    this.#dialog.addEventListener("close", () => this.#presets.reset());
  }

  async open() {
    if (this.#dialog.open) return;
    this.#say("");
    await this.#presets.read();
    this.#drawFields();
    // Read from its beginning: else the focus, and on a phone the keyboard, would go to a field.
    this.#dialog.showModal();
    this.#title.focus();
    // It may be known already; else what is not taken is seen as soon as it is.
    await models.load();
    this.draw();
  }

  draw() {
    if (this.#dialog.open) this.#drawFields();
  }

  #makeFields() {
    const says = words.settings;
    const set = (/** @type {Partial<Settings>} */ patch) => {
      this.#say("");
      this.#set(patch);
    };
    const most = () => models.named(this.#settings.model).maxChars - 1;
    return {
      system: textField(
        { name: says.system, explanation: says.systemNote, wrong: (most) => says.systemTooLong(most + 1), most },
        (system) => set({ system }),
      ),
      temperature: numberField(
        {
          name: says.temperature,
          explanation: says.temperatureNote,
          wrong: says.temperatureWrong,
          isRight: (value) => value >= 0 && value <= 2,
        },
        (temperature) => set({ temperature }),
      ),
      topP: numberField(
        { name: says.topP, explanation: says.topPNote, wrong: says.topPWrong, isRight: (value) => value > 0 && value <= 1 },
        (topP) => set({ topP }),
      ),
      maxTokens: numberField(
        {
          name: says.maxTokens,
          explanation: says.maxTokensNote,
          wrong: says.maxTokensWrong,
          isRight: (value) => Number.isSafeInteger(value) && value >= 1,
        },
        (maxTokens) => set({ maxTokens }),
      ),
      think: new SwitchField({ name: says.think, explanation: says.thinkNote }, (think) => set({ think })),
    };
  }

  #body() {
    const { system, temperature, topP, maxTokens, think } = this.#fields;
    return element(
      "div",
      { className: "settings-body" },
      element("header", {}, this.#title, element("p", {}, words.settings.note)),
      this.#presets.root,
      element(
        "section",
        {},
        this.#model,
        ...[system, temperature, topP, maxTokens, think].map(({ root }) => root),
      ),
    );
  }

  #foot() {
    const reset = element("button", { type: "button", onclick: () => this.#reset() }, words.settings.reset);
    const done = element("button", { type: "button", className: "done", onclick: () => this.#done() }, words.settings.done);
    return element(
      "footer",
      {},
      element("div", { className: "said" }, this.#said, this.#undoButton),
      element("div", { className: "settings-actions" }, reset, done),
    );
  }

  get #settings() {
    return this.#chats.shown.state.settings;
  }

  get #written() {
    const { system, temperature, topP, maxTokens } = this.#fields;
    return [system, temperature, topP, maxTokens];
  }

  #drawFields() {
    const { shown } = this.#chats;
    if (this.#chat !== shown) {
      for (const field of this.#written) field.reset();
      // What can be undone was done to another one.
      this.#say("");
    }
    this.#chat = shown;
    const settings = this.#settings;
    const { system, temperature, topP, maxTokens, think } = this.#fields;
    system.draw(settings.system);
    temperature.draw(settings.temperature);
    topP.draw(settings.topP);
    maxTokens.draw(settings.maxTokens);
    think.draw(settings.think && models.named(settings.model).thinking);
    this.#drawModel(settings.model);
    this.#presets.draw(settings);
  }

  /** @param {string | null} id */
  #drawModel(id) {
    const says = words.settings;
    const { system, temperature, topP, maxTokens, think } = this.#fields;
    const asked = models.named(id);
    const isGone = id !== null && models.served(id) !== id;
    update(this.#model, { hidden: asked.name === "" });
    update(this.#modelName, { textContent: asked.name });
    const can = words.models.can(asked);
    update(this.#modelNote, { textContent: isGone ? `${words.models.gone(models.nameOf(id), asked.name)} ${can}` : can });

    const takes = (/** @type {string} */ name) => (asked.takes?.includes(name) ?? true ? "" : says.notTaken);
    system.disable(asked.system ? "" : says.notTaken);
    temperature.disable(takes("temperature"));
    topP.disable(takes("top_p"));
    maxTokens.disable(takes("max_tokens"));
    think.disable(asked.thinking ? "" : says.notTaken);
  }

  /** @param {Partial<Settings>} patch */
  #set(patch) {
    this.#chats.shown.setSettings(patch);
    this.draw();
  }

  /**
   * Set all, whatever is written in the fields.
   *
   * @param {Settings} settings
   */
  #replace(settings) {
    for (const field of this.#written) field.reset();
    this.#set(settings);
  }

  #reset() {
    const before = { ...this.#settings };
    this.#replace({ ...defaultSettings(), model: before.model });
    this.#say(words.settings.isReset, () => this.#replace(before));
  }

  #done() {
    // All of them say what is wrong, and the first is where to go on.
    const [wrong] = this.#written.filter((field) => !field.input.disabled && field.leave());
    if (wrong) wrong.input.focus();
    else this.#dialog.close();
  }

  /**
   * @param {string} text what was done, or ""
   * @param {() => unknown} [undo]
   */
  #say(text, undo) {
    this.#undo = undo;
    update(this.#said, { textContent: text });
    update(this.#undoButton, { hidden: !undo });
    // What was done may have taken away the button that did it.
    if (undo && !this.#hasFocus) this.#undoButton.focus();
  }

  #takeBack() {
    const undo = this.#undo;
    this.#title.focus();
    undo?.();
    this.#say(words.settings.undone);
  }

  get #hasFocus() {
    const focused = document.activeElement;
    return focused !== null && focused !== this.#dialog && this.#dialog.contains(focused);
  }
}
