/** Settings that were given a name, to be used in any conversation: they are chosen, saved, renamed, replaced and deleted. */

import { isComposing } from "../keys.js";
import { sameSettings } from "../prompt.js";
import { defaultSettings, newId } from "../store.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";
import { ChoiceField } from "./settings_fields.js";

/**
 * @typedef {import("../store.js").Preset} Preset
 * @typedef {import("../store.js").Settings} Settings
 */

/** What is chosen when the settings are those of no preset. */
const NONE = "none";
const DEFAULTS = "defaults";

const MOST_NAME_LENGTH = 80;

export class PresetsView {
  #store;
  #after;
  /** @type {Preset[]} */
  #presets = [];
  /** @type {Settings} */
  #settings = defaultSettings();
  /** The one that was chosen last, where several have the same settings. */
  #chosen = "";
  #choice = new ChoiceField({ name: words.settings.preset, explanation: "" }, (id) => this.#choose(id));
  #saving;
  #list = element("ul");
  #all = element("details", { className: "presets" }, element("summary", {}, words.settings.presets), this.#list);
  /** @type {Map<string, Item>} */
  #items = new Map();

  /**
   * @param {import("../store.js").Store} store
   * @param {object} after
   * @param {(settings: Settings) => void} after.use called with the settings that were chosen
   * @param {(text: string, undo?: () => unknown) => void} after.say called with what was done, and how to undo it
   */
  constructor(store, after) {
    this.#store = store;
    this.#after = after;
    store.onChange(({ presets }) => presets && this.read());
    this.#saving = new NameForm({
      opener: words.settings.save,
      label: words.settings.save,
      problem: (name) => this.#problem(name),
      done: (name) => this.#save(name),
    });
    this.root = element("section", {}, this.#choice.root, this.#saving.root, this.#all);
  }

  /** Read what there is, and draw it. */
  async read() {
    this.#presets = await this.#store.presets();
    this.#drawList();
    this.draw(this.#settings);
  }

  /** @param {Settings} settings of the conversation that is shown */
  draw(settings) {
    this.#settings = settings;
    /** @type {{id: string, name: string, settings: Settings}[]} */
    const all = [{ id: DEFAULTS, name: words.settings.defaults, settings: defaultSettings() }, ...this.#presets];
    const same = all.filter((preset) => sameSettings(settings, used(preset.settings, settings))).map(({ id }) => id);
    const chosen = same.includes(this.#chosen) ? this.#chosen : (same[0] ?? NONE);
    /** @type {[string, string][]} */
    const choices = all.map(({ id, name }) => [id, name]);
    this.#choice.draw(chosen === NONE ? [[NONE, words.settings.none], ...choices] : choices, chosen);
  }

  /** Leave what was begun to be named. */
  reset() {
    this.#saving.close();
    for (const item of this.#items.values()) item.naming.close();
  }

  #drawList() {
    update(this.#all, { hidden: this.#presets.length === 0 });
    for (const [id, { root }] of this.#items) {
      if (this.#presets.some((preset) => preset.id === id)) continue;
      root.remove();
      this.#items.delete(id);
    }
    for (const [index, preset] of this.#presets.entries()) {
      const item = this.#items.get(preset.id) ?? this.#item(preset);
      item.draw(preset);
      // What has the focus would lose it by being moved to where it is.
      if (this.#list.children[index] !== item.root) this.#list.insertBefore(item.root, this.#list.children[index] ?? null);
    }
  }

  /** @param {Preset} preset */
  #item({ id }) {
    const item = new Item({
      problem: (name) => this.#problem(name, id),
      rename: (name) => this.#change(id, { name }, words.settings.saved),
      replace: () => this.#change(id, { settings: { ...this.#settings } }, words.settings.replaced),
      remove: () => this.#remove(id),
    });
    this.#items.set(id, item);
    return item;
  }

  /** @param {string} id */
  #choose(id) {
    const preset = this.#presets.find((preset) => preset.id === id);
    const before = { ...this.#settings };
    this.#chosen = id;
    this.#after.use(used(preset?.settings ?? defaultSettings(), before));
    const said = preset ? words.settings.used(preset.name) : words.settings.isReset;
    this.#after.say(said, () => this.#after.use(before));
  }

  /**
   * What is wrong with a name, or "".
   *
   * @param {string} name
   * @param {string} [id] of the preset that is to have it
   */
  #problem(name, id) {
    if (name === "") return words.settings.nameMissing;
    const taken = this.#presets.some((preset) => preset.id !== id && preset.name.toLowerCase() === name.toLowerCase());
    return taken ? words.settings.nameTaken : "";
  }

  /** @param {string} name */
  #save(name) {
    const preset = { id: newId(), name, settings: { ...this.#settings } };
    this.#chosen = preset.id;
    this.#keep(this.#store.savePreset(preset), words.settings.saved(name), () => this.#store.removePreset(preset.id));
  }

  /**
   * @param {string} id
   * @param {Partial<Preset>} patch
   * @param {(name: string) => string} said
   */
  #change(id, patch, said) {
    const before = this.#presets.find((preset) => preset.id === id);
    if (!before) return;
    const preset = { ...before, ...patch };
    this.#keep(this.#store.savePreset(preset), said(preset.name), () => this.#store.savePreset(before));
  }

  /** @param {string} id */
  #remove(id) {
    const before = this.#presets.find((preset) => preset.id === id);
    if (!before) return;
    this.#keep(this.#store.removePreset(id), words.settings.removed(before.name), () => this.#store.savePreset(before));
  }

  /**
   * @param {Promise<boolean | null>} writing
   * @param {string} said
   * @param {() => unknown} undo
   */
  async #keep(writing, said, undo) {
    if (!(await writing)) return this.#after.say(words.settings.notKept);
    await this.read();
    this.#after.say(said, undo);
  }
}

/** One preset in the list. */
class Item {
  #name = element("span", { dir: "auto" });
  #replace;
  #remove;

  /**
   * @param {object} act
   * @param {(name: string) => string} act.problem
   * @param {(name: string) => void} act.rename
   * @param {() => void} act.replace
   * @param {() => void} act.remove
   */
  constructor({ problem, rename, replace, remove }) {
    this.naming = new NameForm({ opener: words.actions.rename, label: "", problem, done: rename });
    this.#replace = element("button", { type: "button", onclick: replace }, words.settings.replace);
    this.#remove = element("button", { type: "button", onclick: remove }, words.actions.delete);
    const actions = element("div", { className: "preset-actions" }, this.naming.root, this.#replace, this.#remove);
    this.root = element("li", {}, this.#name, actions);
  }

  /** @param {Preset} preset */
  draw({ name }) {
    update(this.#name, { textContent: name });
    this.naming.draw(words.settings.renameThis(name), name);
    update(this.#replace, { ariaLabel: words.settings.replaceThis(name) });
    update(this.#remove, { ariaLabel: words.settings.removeThis(name) });
  }
}

/** A button that opens a small form for a name. */
class NameForm {
  #input = element("input", { type: "text", dir: "auto", autocomplete: "off", maxLength: MOST_NAME_LENGTH });
  #error = element("p", { className: "field-error", role: "alert", id: `preset-error-${newId()}` });
  #opener;
  #form;
  #problem;
  #done;
  #name = "";

  /**
   * @param {object} how
   * @param {string} how.opener what its button says
   * @param {string} how.label how it is called for those who do not see where it is
   * @param {(name: string) => string} how.problem what is wrong with a name, or ""
   * @param {(name: string) => void} how.done
   */
  constructor({ opener, label, problem, done }) {
    this.#problem = problem;
    this.#done = done;
    this.#opener = element("button", { type: "button", onclick: () => this.#open() }, opener);
    if (label !== "") this.#opener.ariaLabel = label;
    this.#input.ariaLabel = words.settings.name;
    this.#input.setAttribute("aria-describedby", this.#error.id);
    this.#form = element(
      "form",
      { className: "naming", hidden: true, noValidate: true },
      this.#input,
      element("button", {}, words.settings.saveName),
      element("button", { type: "button", onclick: () => this.#leave() }, words.actions.cancel),
      this.#error,
    );
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || isComposing(event)) return;
      // It closes this alone, not the dialog.
      event.preventDefault();
      this.#leave();
    });
    this.root = element("div", { className: "name-form" }, this.#opener, this.#form);
  }

  /**
   * @param {string} label
   * @param {string} name that it begins with
   */
  draw(label, name) {
    this.#name = name;
    update(this.#opener, { ariaLabel: label });
  }

  close() {
    this.#show(false);
  }

  #open() {
    this.#show(true);
    this.#input.value = this.#name;
    this.#input.select();
    this.#input.focus();
  }

  #leave() {
    this.#show(false);
    this.#opener.focus();
  }

  /** @param {boolean} open */
  #show(open) {
    this.root.classList.toggle("open", open);
    this.#form.hidden = !open;
    this.#opener.hidden = open;
    this.#refuse("");
  }

  #submit() {
    const name = this.#input.value.trim();
    const problem = this.#problem(name);
    this.#refuse(problem);
    if (problem !== "") return this.#input.focus();
    this.#leave();
    this.#done(name);
  }

  /** @param {string} text */
  #refuse(text) {
    this.#error.textContent = text;
    this.#input.ariaInvalid = String(text !== "");
  }
}

/**
 * What the settings are when a preset is used: one that names no model leaves it as it is.
 *
 * @param {Settings} preset
 * @param {Settings} before
 * @returns {Settings}
 */
function used(preset, before) {
  return { ...preset, model: preset.model ?? before.model };
}
