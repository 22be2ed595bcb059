/** The button that opens the settings of the conversation that is shown, and tells when they are not the usual ones. */

import { loadStyles } from "../lazy.js";
import { models } from "../models.js";
import { sameSettings } from "../prompt.js";
import { backoff, pause } from "../retry.js";
import { defaultSettings } from "../store.js";
import { words } from "../words/index.js";
import { update } from "./element.js";

/**
 * What the settings need of all conversations.
 *
 * @typedef {object} Chats
 * @property {{state: {settings: Settings}, setSettings: (patch: Partial<Settings>) => void}} shown
 * @property {import("../store.js").Store} store
 *
 * @typedef {import("../store.js").Settings} Settings
 */

/** How often it is tried to load the dialog, and when again, in ms. */
const ATTEMPTS = 4;
const TIMES = { base: 250, cap: 1000 };

export class SettingsButton {
  #button;
  #chats;
  #after;
  /** @type {import("./settings.js").SettingsView | null} */
  #view = null;
  /** @type {Promise<void> | null} */
  #opening = null;

  /**
   * @param {HTMLElement} button
   * @param {Chats} chats
   * @param {object} after
   * @param {(text: string) => void} after.failed called with why the settings do not open
   */
  constructor(button, chats, after) {
    this.#button = button;
    this.#chats = chats;
    this.#after = after;
    button.addEventListener("click", () => {
      this.#opening ??= this.#open().finally(() => (this.#opening = null));
    });
  }

  draw() {
    const { settings } = this.#chats.shown.state;
    // Thinking and the model have their own buttons.
    const changed = !sameSettings({ ...settings, think: false, model: null }, defaultSettings());
    const name = changed ? words.settings.changed : words.page.settings;
    update(this.#button, { className: changed ? "tune changed" : "tune", ariaLabel: name, title: name });
    this.#view?.draw();
  }

  async #open() {
    models.load();
    const SettingsView = await load();
    if (!SettingsView) return this.#after.failed(words.settings.notLoaded);
    this.#view ??= new SettingsView(this.#chats, () => this.#button.focus());
    await this.#view.open();
  }
}

async function load() {
  for (let failures = 0; failures < ATTEMPTS; failures += 1) {
    if (failures > 0) await pause(backoff(failures - 1, TIMES));
    try {
      const [{ SettingsView }] = await Promise.all([import("./settings.js"), loadStyles("dialog.css"), loadStyles("settings.css")]);
      return SettingsView;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
  return null;
}
