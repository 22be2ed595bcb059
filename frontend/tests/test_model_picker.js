import { models } from "../js/models.js";
import { defaultSettings } from "../js/store.js";
import { ModelPicker } from "../js/views/model_picker.js";
import { element } from "../js/views/element.js";
import { models as says } from "../js/words/en.js";
import { equal, ok, test } from "./harness.js";
import { serveModels } from "./served_models.js";

/**
 * Show the picker of a conversation.
 *
 * @param {object} options
 * @param {string | null} [options.model] that is chosen
 * @param {string} [options.id] of the conversation, "" for one that was not begun
 */
function picker({ model = null, id = "c" } = {}) {
  const shown = {
    id,
    state: { settings: { ...defaultSettings(), model } },
    setSettings: (/** @type {object} */ patch) => {
      Object.assign(shown.state.settings, patch);
      view.draw();
    },
  };
  const page = element("div", {}, element("p"), element("p"));
  const [root, place] = /** @type {[HTMLElement, HTMLElement]} */ (/** @type {unknown} */ (page.children));
  document.body.append(page);
  /** @type {string[]} */
  const said = [];
  let left = 0;
  const view = new ModelPicker(root, place, { shown }, { say: (text) => said.push(text), left: () => (left += 1) });
  view.draw();
  const menu = /** @type {HTMLElement} */ (document.body.lastElementChild);
  const items = () => /** @type {HTMLElement[]} */ ([...menu.children]);
  return {
    ...{ shown, root, menu, items, said, view },
    left: () => left,
    button: /** @type {HTMLElement} */ (root.querySelector("button")),
    note: /** @type {HTMLElement} */ (place.previousElementSibling),
    press: (/** @type {string} */ key) =>
      document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })),
    end: () => (page.remove(), menu.remove()),
  };
}

test("the button has the name of the model that answers, and its menu says what each can do", async () => {
  await serveModels({ id: "a", name: "Alpha", context_tokens: 8192 }, { id: "b", thinking: false, system: false }, { id: "c", takes: null });
  const { button, menu, items, end } = picker({ model: "b" });
  equal([button.textContent, menu.hidden], ["Model: b", true]);
  button.click();
  const shown = items().map((item) => [item.ariaChecked, ...[...item.children].map(({ textContent }) => textContent)]);
  equal(shown, [
    ["false", "Alpha", "Thinking · System prompt · 8,192 tokens"],
    ["true", "b", "Sees your last message alone"],
    ["false", "c", "Not loaded yet"],
  ]);
  equal([menu.hidden, menu.ariaLabel, button.ariaExpanded], [false, says.all, "true"]);
  equal(document.activeElement === items()[1], true);
  end();
});

test("a model is chosen with the keyboard, and the focus comes back", async () => {
  await serveModels({ id: "a", name: "Alpha" }, { id: "b", name: "Beta" });
  const { shown, button, menu, said, press, end } = picker();
  button.click();
  equal(document.activeElement?.firstChild?.textContent, "Alpha");
  press("ArrowDown");
  equal(document.activeElement?.firstChild?.textContent, "Beta");
  /** @type {HTMLElement} */ (document.activeElement).click();
  equal([shown.state.settings.model, button.textContent, said], ["b", "Model: Beta", [says.chosen("Beta")]]);
  ok(menu.hidden && document.activeElement === button);
  button.click();
  press("Escape");
  ok(menu.hidden && document.activeElement === button && shown.state.settings.model === "b");
  end();
});

test("that a model is gone is said, the choice is kept, and it can be left", async () => {
  await serveModels({ id: "a", name: "Alpha" });
  const { shown, button, note, said, left, view, end } = picker({ model: "gone" });
  equal([note.hidden, note.firstChild?.textContent, button.textContent], [false, says.gone("gone", "Alpha"), "Model: Alpha"]);
  view.draw();
  equal([shown.state.settings.model, said], ["gone", [says.gone("gone", "Alpha")]]);
  const use = /** @type {HTMLElement} */ (note.lastChild);
  equal(use.textContent, says.use("Alpha"));
  use.click();
  equal([shown.state.settings.model, note.hidden, left()], ["a", true, 1]);
  end();
});

test("in a conversation that was not begun, and while it is not known, no model is gone", async () => {
  await serveModels({ id: "a" }, { id: "b" });
  const unbegun = picker({ model: "gone", id: "" });
  equal([unbegun.note.hidden, unbegun.button.textContent], [true, "Model: a"]);
  unbegun.end();
  const served = picker({ model: "b" });
  equal(served.note.hidden, true);
  served.end();
});

test("a name is only text, and turns nothing around it", async () => {
  await serveModels({ id: "a", name: "<img src=x onerror=alert(1)>\u202eevil\u2066" }, { id: "b" });
  const { button, items, menu, end } = picker();
  button.click();
  equal(items()[0]?.firstChild?.textContent, "<img src=x onerror=alert(1)>evil");
  equal([menu.querySelector("img"), button.querySelector("img")], [null, null]);
  equal([models.nameOf("a\u202e"), models.nameOf("b")], ["a", "b"]);
  end();
  await serveModels();
});
