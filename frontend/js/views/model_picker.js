/**
 * Who answers in the conversation that is shown, to be chosen: the model's name is a button with a menu of all of them,
 * which says what each can do. Where the one that was chosen is not served any more, that is said, and who answers instead.
 * Loaded where there is something to choose.
 */

import { models } from "../models.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";
import { Menu } from "./menu.js";

/** @typedef {import("../store.js").Settings} Settings */

export class ModelPicker {
  #chats;
  #after;
  #name = element("bdi");
  #button = element(
    "button",
    { type: "button", className: "model-button", ariaHasPopup: "menu", ariaExpanded: "false", onclick: () => this.#open() },
    element("span", { className: "visually-hidden" }, words.page.model),
    this.#name,
  );
  #menu = new Menu(() => {}, "start");
  #goneText = element("p");
  #useButton = element("button", { type: "button", onclick: () => this.#useInstead() });
  #gone = element("div", { className: "notice", hidden: true }, this.#goneText, this.#useButton);

  /**
   * @param {HTMLElement} root has the name of the only model
   * @param {HTMLElement} place before which is said that a model is gone
   * @param {{shown: {id: string, state: {settings: Settings}, setSettings: (patch: Partial<Settings>) => void}}} chats
   * @param {import("./conversation.js").After} after
   */
  constructor(root, place, chats, after) {
    this.#chats = chats;
    this.#after = after;
    root.replaceChildren(this.#button);
    place.before(this.#gone);
    (root.closest("header") ?? document.body).append(this.#menu.root);
  }

  draw() {
    const { id, state } = this.#chats.shown;
    const { model } = state.settings;
    const { name } = models.named(model);
    update(this.#name, { textContent: name });
    // In a conversation that was not begun, nobody has answered yet.
    this.#drawGone(id !== "" && model !== models.served(model) ? models.nameOf(model ?? "") : "", name);
  }

  /**
   * @param {string} gone the name of the one that was chosen, "" where it is served
   * @param {string} instead
   */
  #drawGone(gone, instead) {
    const text = gone === "" ? "" : words.models.gone(gone, instead);
    if (this.#goneText.textContent === text) return;
    update(this.#goneText, { textContent: text });
    update(this.#useButton, { textContent: words.models.use(instead) });
    update(this.#gone, { hidden: text === "" });
    if (text !== "") this.#after.say(text);
  }

  #open() {
    const { shown } = this.#chats;
    const { id } = models.named(shown.state.settings.model);
    const entries = models.list.map((model) => ({
      name: model.name,
      note: words.models.can(model),
      checked: model.id === id,
      act: () => {
        shown.setSettings({ model: model.id });
        this.#after.say(words.models.chosen(model.name));
      },
    }));
    this.#menu.toggle(this.#button, words.models.all, entries);
  }

  #useInstead() {
    const { shown } = this.#chats;
    shown.setSettings({ model: models.named(null).id });
    this.#after.left();
  }
}
