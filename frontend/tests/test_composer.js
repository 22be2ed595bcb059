import { ComposerView } from "../js/views/composer.js";
import { element } from "../js/views/element.js";
import { settings as says } from "../js/words/en.js";
import { equal, ok, test } from "./harness.js";
import { serveModels } from "./served_models.js";

/** @typedef {import("../js/chats.js").Chats} Chats */

const supports = CSS.supports;

/** Make a composer in a browser without `field-sizing`; tell how often its height was measured. */
function composer() {
  const state = { messages: [], settings: { think: false, model: /** @type {string | null} */ (null) }, draft: "", outbox: [], editing: null };
  const chat = { state, running: null, setDraft: (/** @type {string} */ draft) => (state.draft = draft) };
  const input = element("textarea");
  const form = element(
    "form",
    {},
    input,
    element("label", {}, element("input", { type: "checkbox" })),
    element("input", { type: "file" }),
    element("button", { className: "attach", type: "button" }),
    element("p", { className: "hint" }),
    element("button", { className: "stop", type: "button", hidden: true }),
    element("button", { className: "send" }),
  );
  document.body.append(form);
  const measured = { times: 0 };
  Object.defineProperty(input, "scrollHeight", {
    get: () => {
      measured.times += 1;
      return 20 + 20 * input.value.split("\n").length;
    },
  });
  CSS.supports = () => false;
  const view = new ComposerView(form, /** @type {Chats} */ (/** @type {unknown} */ ({ shown: chat })), {
    sent: () => {},
    say: () => {},
  });
  return { state, input, view, measured, form };
}

test("without `field-sizing` the height is measured when the draft changes, not in every frame", () => {
  try {
    const { state, input, view, measured, form } = composer();
    view.draw();
    const before = measured.times;
    for (let frame = 0; frame < 100; frame += 1) view.draw();
    equal(measured.times, before);
    input.value = "one\ntwo\nthree";
    input.dispatchEvent(new Event("input"));
    equal(input.style.blockSize, "80px");
    view.draw();
    equal(measured.times, before + 1);
    state.draft = "";
    view.draw();
    equal(input.style.blockSize, "40px");
    form.remove();
  } finally {
    CSS.supports = supports;
  }
});

test("drawing leaves the caret where it is", () => {
  try {
    const { input, view, form } = composer();
    input.value = "some text";
    input.dispatchEvent(new Event("input"));
    input.focus();
    input.setSelectionRange(2, 4);
    view.draw();
    equal([input.selectionStart, input.selectionEnd], [2, 4]);
    ok(document.activeElement === input);
    form.remove();
  } finally {
    CSS.supports = supports;
  }
});

test("thinking can be asked for where the model can, and is not shown where none can", async () => {
  await serveModels({ id: "a" }, { id: "b", thinking: false });
  const { state, view, form } = composer();
  CSS.supports = supports;
  const think = /** @type {HTMLInputElement} */ (form.querySelector("[type=checkbox]"));
  const drawn = (/** @type {string | null} */ model) => {
    state.settings = { think: true, model };
    view.draw();
    return [think.checked, think.disabled, think.title, think.parentElement?.hidden];
  };
  equal(drawn("a"), [true, false, "", false]);
  equal(drawn("b"), [false, true, says.notTaken, false]);
  equal(drawn(null), [true, false, "", false]);
  await serveModels({ id: "b", thinking: false });
  equal(drawn(null), [false, true, says.notTaken, true]);
  // What is not known yet may be able to.
  await serveModels({ id: "b", takes: null, thinking: null });
  equal(drawn(null), [true, false, "", false]);
  await serveModels();
  equal(drawn(null), [true, false, "", false]);
  form.remove();
});
