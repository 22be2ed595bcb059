import { Store, defaultSettings, newId } from "../js/store.js";
import { SettingsView } from "../js/views/settings.js";
import { SettingsButton } from "../js/views/settings_button.js";
import { readNumber } from "../js/views/settings_fields.js";
import { actions, models, settings as says } from "../js/words/en.js";
import { equal, ok, test } from "./harness.js";
import { serveModels } from "./served_models.js";

/** @typedef {import("../js/store.js").Settings} Settings */

/** Open the settings of a conversation; several may share what is kept. */
async function opened(name = `settings-${newId()}`) {
  const store = new Store(name);
  await store.open();
  const shown = {
    state: { settings: defaultSettings() },
    setSettings: (/** @type {Partial<Settings>} */ patch) => Object.assign(shown.state.settings, patch),
  };
  const chats = { store, shown };
  const view = new SettingsView(chats, () => {});
  await view.open();
  const dialog = /** @type {HTMLDialogElement} */ (document.body.lastElementChild);
  const all = (/** @type {string} */ selector) => /** @type {HTMLElement[]} */ ([...dialog.querySelectorAll(selector)]);
  return {
    chats,
    view,
    dialog,
    status: () => all("[role=status]")[0]?.textContent,
    /** The field with this label. @param {string} label */
    field: (label) => new Field(dialog, label),
    /** The button that is seen, by its name. @param {string} name */
    button: (name) => {
      const found = all("button").find((button) => (button.ariaLabel ?? button.textContent) === name && button.offsetParent !== null);
      if (!found) throw new Error(`no button: ${name}`);
      return found;
    },
    presets: () => all(".presets li > span").map((item) => item.textContent),
    end: () => (dialog.remove(), store.close()),
  };
}

class Field {
  input;

  /** @param {HTMLElement} dialog @param {string} label */
  constructor(dialog, label) {
    const found = [...dialog.querySelectorAll("label")].find((element) => element.textContent === label);
    this.input = /** @type {HTMLInputElement & HTMLSelectElement} */ (found?.control);
  }

  /** Write character by character. @param {string} text */
  type(text) {
    for (let length = 0; length <= text.length; length += 1) {
      this.input.value = text.slice(0, length);
      this.input.dispatchEvent(new Event("input"));
    }
  }

  leave() {
    this.input.dispatchEvent(new Event("change"));
  }

  /** What is said of it, the error first. */
  get description() {
    const ids = this.input.getAttribute("aria-describedby")?.split(" ") ?? [];
    return ids.map((id) => document.getElementById(id)?.textContent);
  }

  /** @param {string} name of an option */
  choose(name) {
    const option = [...this.input.options].find(({ label }) => label === name);
    if (!option) throw new Error(`no option: ${name}`);
    this.input.value = option.value;
    this.leave();
  }

  get chosen() {
    return this.input.selectedOptions[0]?.label;
  }
}

/** Resolve when a condition holds. @param {() => unknown} condition */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("what is set holds at once, and what is emptied is left to the model again", async () => {
  const { chats, field, end } = await opened();
  field(says.system).type("Be brief.");
  field(says.temperature).type("0,7");
  field(says.topP).type(".9");
  field(says.maxTokens).type("٥٠٠");
  field(says.think).input.click();
  equal(chats.shown.state.settings, { think: true, system: "Be brief.", model: null, temperature: 0.7, topP: 0.9, maxTokens: 500 });
  field(says.temperature).type("");
  equal(chats.shown.state.settings.temperature, null);
  end();
});

test("numbers are read as they are written, and nothing else is", () => {
  equal(["", "  ", "0", " 1.5 ", "1,5", ".5", "2.", "٠٫٧", "۱۲"].map(readNumber), [null, null, 0, 1.5, 1.5, 0.5, 2, 0.7, 12]);
  for (const text of ["x", "1e3", "-1", "+1", "1.2.3", "1,2,3", "0x10", ".", "1 2", "Infinity"]) ok(Number.isNaN(readNumber(text)), text);
});

test("what is wrong is said beside its field, is not taken, and stays", async () => {
  const { chats, view, dialog, field, button, end } = await opened();
  /** @type {[string, keyof Settings, string[], string][]} */
  const cases = [
    [says.temperature, "temperature", ["25", "-1", "hot"], says.temperatureWrong],
    [says.topP, "topP", ["0", "1.1"], says.topPWrong],
    [says.maxTokens, "maxTokens", ["0", "12.5", "99999999999999999"], says.maxTokensWrong],
  ];
  for (const [label, name, texts, wrong] of cases) {
    const { input, ...rest } = field(label);
    for (const text of texts) {
      field(label).type("1");
      field(label).leave();
      field(label).type(text);
      // Not before it is all written.
      equal([text, input.ariaInvalid, field(label).description.length], [text, "false", 1]);
      field(label).leave();
      view.draw();
      equal([input.value, input.ariaInvalid, field(label).description[0]], [text, "true", wrong]);
      equal([name, chats.shown.state.settings[name]], [name, 1]);
      equal(rest, {});
    }
    button(says.done).click();
    equal([dialog.open, document.activeElement === input], [true, true]);
    field(label).type("1");
    equal(input.ariaInvalid, "false");
  }
  button(says.done).click();
  equal(dialog.open, false);
  end();
});

test("what is wrong is still there when the dialog is opened again, but not for another conversation", async () => {
  const { chats, view, dialog, field, end } = await opened();
  field(says.temperature).type("3");
  dialog.close();
  await view.open();
  field(says.temperature).leave();
  equal([field(says.temperature).input.value, field(says.temperature).description[0]], ["3", says.temperatureWrong]);
  dialog.close();
  chats.shown = { ...chats.shown, state: { settings: { ...defaultSettings(), topP: 0.5 } } };
  await view.open();
  equal([says.temperature, says.topP].map((label) => field(label).input.value), ["", "0.5"]);
  end();
});

test("a system prompt that leaves no room for a message is not taken", async () => {
  const { chats, field, end } = await opened();
  const system = field(says.system);
  system.input.value = "😀".repeat(100_000);
  system.input.dispatchEvent(new Event("input"));
  system.leave();
  equal([system.description[0], chats.shown.state.settings.system], [says.systemTooLong(100_000), ""]);
  system.input.value = "😀".repeat(99_999);
  system.input.dispatchEvent(new Event("input"));
  equal([system.input.ariaInvalid, chats.shown.state.settings.system.length], ["false", 2 * 99_999]);
  end();
});

test("another tab's settings replace what is drawn", async () => {
  const { chats, view, field, end } = await opened();
  field(says.temperature).type("0.50");
  view.draw();
  equal(field(says.temperature).input.value, "0.50");
  chats.shown.setSettings({ temperature: 0.2 });
  view.draw();
  equal(field(says.temperature).input.value, "0.2");
  end();
});

test("back to the defaults, and back from there", async () => {
  const { chats, status, field, button, end } = await opened();
  field(says.system).type("Be brief.");
  field(says.topP).type("7");
  field(says.topP).leave();
  button(says.reset).click();
  equal([chats.shown.state.settings, status(), field(says.topP).input.value], [defaultSettings(), says.isReset, ""]);
  button(actions.undo).click();
  equal([chats.shown.state.settings.system, status()], ["Be brief.", says.undone]);
  end();
});

test("what was done to a conversation is not undone in another one", async () => {
  const { chats, view, dialog, status, field, button, end } = await opened();
  field(says.system).type("Be brief.");
  button(says.reset).click();
  const undo = button(actions.undo);
  // Another tab has deleted it.
  chats.shown = { ...chats.shown, state: { settings: defaultSettings() } };
  view.draw();
  equal([status(), undo.hidden, dialog.open], ["", true, true]);
  end();
});

test("settings get a name, and are used by it", async () => {
  const { chats, status, field, button, presets, end } = await opened();
  equal([field(says.preset).chosen, presets()], [says.defaults, []]);
  field(says.temperature).type("0.2");
  equal(field(says.preset).chosen, says.none);
  button(says.save).click();
  const name = /** @type {HTMLInputElement} */ (document.activeElement);
  button(says.saveName).click();
  equal([name.ariaInvalid, document.activeElement === name], ["true", true]);
  name.value = " Cold ";
  button(says.saveName).click();
  await until(() => presets().length === 1);
  await until(() => status() === says.saved("Cold"));
  equal([field(says.preset).chosen, document.activeElement?.textContent], ["Cold", says.save]);
  field(says.preset).choose(says.defaults);
  equal([chats.shown.state.settings, status()], [defaultSettings(), says.isReset]);
  field(says.preset).choose("Cold");
  equal([chats.shown.state.settings.temperature, status()], [0.2, says.used("Cold")]);
  // What is set afterwards is not the preset's.
  field(says.temperature).type("0.3");
  equal([field(says.preset).chosen, (await chats.store.presets())[0]?.settings.temperature], [says.none, 0.2]);
  end();
});

test("a preset is renamed, replaced and deleted, and each can be undone", async () => {
  const { chats, status, field, button, dialog, presets, end } = await opened();
  for (const name of ["Cold", "Warm"]) await chats.store.savePreset({ id: name, name, settings: defaultSettings() });
  await until(() => presets().length === 2);
  /** @type {HTMLDetailsElement | null} */ (dialog.querySelector(".presets"))?.setAttribute("open", "");
  button(says.renameThis("Cold")).click();
  const input = /** @type {HTMLInputElement} */ (document.activeElement);
  equal(input.value, "Cold");
  input.value = "warm";
  button(says.saveName).click();
  equal(presets(), ["Cold", "Warm"]);
  equal([document.getElementById(input.getAttribute("aria-describedby") ?? "")?.textContent, input.ariaInvalid], [says.nameTaken, "true"]);
  input.value = "Zero";
  button(says.saveName).click();
  await until(() => status() === says.saved("Zero"));
  equal(presets(), ["Warm", "Zero"]);
  button(actions.undo).click();
  await until(() => presets()[0] === "Cold");

  field(says.temperature).type("1.5");
  button(says.replaceThis("Warm")).click();
  await until(() => status() === says.replaced("Warm"));
  await until(() => field(says.preset).chosen === "Warm");
  button(actions.undo).click();
  await until(() => field(says.preset).chosen === says.none);

  button(says.removeThis("Warm")).focus();
  button(says.removeThis("Warm")).click();
  await until(() => status() === says.removed("Warm"));
  equal([presets(), document.activeElement?.textContent], [["Cold"], actions.undo]);
  button(actions.undo).click();
  await until(() => presets().length === 2);
  end();
});

test("another tab's presets are there at once, and do not disturb one who gives a name", async () => {
  const name = `settings-${newId()}`;
  const here = await opened(name);
  const other = new Store(name);
  await other.open();
  await other.savePreset({ id: "b", name: "B", settings: defaultSettings() });
  await until(() => here.presets().length === 1);
  here.dialog.querySelector(".presets")?.setAttribute("open", "");
  here.button(says.renameThis("B")).click();
  const input = document.activeElement;
  await other.savePreset({ id: "a", name: "A", settings: defaultSettings() });
  await until(() => here.presets().length === 2);
  equal([here.presets(), document.activeElement === input], [["A", "B"], true]);
  await other.removePreset("b");
  await until(() => here.presets().length === 1);
  other.close();
  here.end();
});

test("where nothing can be kept, that is said", async () => {
  const { chats, status, button, presets, end } = await opened();
  chats.store.close();
  button(says.save).click();
  /** @type {HTMLInputElement} */ (document.activeElement).value = "Cold";
  button(says.saveName).click();
  await until(() => status() === says.notKept);
  equal(presets(), []);
  end();
});

test("the button tells when the settings are not the usual ones", async () => {
  const button = document.createElement("button");
  const settings = defaultSettings();
  const store = new Store(`settings-${newId()}`);
  const view = new SettingsButton(button, { store, shown: { state: { settings }, setSettings: () => {} } }, { failed: () => {} });
  const marks = [{}, { think: true }, { model: "m" }, { system: "Be brief." }, { system: "", maxTokens: 5 }].map((patch) => {
    Object.assign(settings, patch);
    view.draw();
    return [button.classList.contains("changed"), button.ariaLabel === says.changed];
  });
  equal(marks, [[false, false], [false, false], [false, false], [true, true], [true, true]]);
  store.close();
});

test("a preset and the defaults leave the model as it is, unless the preset names one", async () => {
  const { chats, field, button, presets, end } = await opened();
  const settings = { ...defaultSettings(), temperature: 1 };
  await chats.store.savePreset({ id: "any", name: "Any", settings });
  await chats.store.savePreset({ id: "named", name: "Named", settings: { ...settings, model: "b" } });
  await until(() => presets().length === 2);
  chats.shown.setSettings({ model: "a" });
  field(says.preset).choose("Any");
  equal([chats.shown.state.settings, field(says.preset).chosen], [{ ...settings, model: "a" }, "Any"]);
  field(says.preset).choose("Named");
  equal([chats.shown.state.settings.model, field(says.preset).chosen], ["b", "Named"]);
  button(actions.undo).click();
  equal(chats.shown.state.settings.model, "a");
  button(says.reset).click();
  equal([chats.shown.state.settings, field(says.preset).chosen], [{ ...defaultSettings(), model: "a" }, says.defaults]);
  end();
});

test("what the model that answers can do is said, and what it cannot is not to be set", async () => {
  const alpha = { id: "a", name: "Alpha", takes: ["top_p"], thinking: false, context_tokens: 512 };
  await serveModels(alpha);
  const { chats, view, dialog, field, end } = await opened();
  const said = () => dialog.querySelector(".model-name")?.parentElement?.textContent;
  const disabled = () => [says.temperature, says.topP, says.system, says.think].map((label) => field(label).input.disabled);
  equal([said(), disabled()], ["Model: AlphaSystem prompt · 512 tokens", [true, false, false, true]]);
  await serveModels(alpha, { id: "b", takes: null });
  chats.shown.setSettings({ model: "b", think: true });
  view.draw();
  equal([said(), disabled(), field(says.think).input.checked], ["Model: bNot loaded yet", [false, false, false, false], true]);
  chats.shown.setSettings({ model: "gone" });
  view.draw();
  equal([said()?.includes(models.gone("gone", "Alpha")), field(says.think).input.checked], [true, false]);
  await serveModels();
  end();
});
