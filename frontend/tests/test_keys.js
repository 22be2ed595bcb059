import { KEYS, keyNames, keyOf, keysFor, keysHere, listen } from "../js/keys.js";
import { keys as words } from "../js/words/en.js";
import { equal, test } from "./harness.js";

/**
 * The action of a key that is pressed in an element.
 *
 * @param {KeyboardEventInit & {keyCode?: number}} init
 * @param {{touch?: boolean, apple?: boolean, place?: "composer", on?: HTMLElement}} [where]
 */
function action(init, { touch = false, apple = false, place, on = document.body } = {}) {
  const event = new KeyboardEvent("keydown", { ...init, bubbles: true });
  on.dispatchEvent(event);
  return keyOf(event, place, touch, apple)?.action;
}

/** @param {Parameters<typeof action>[0]} init */
function inComposer(init, touch = false) {
  return action(init, { touch, place: "composer" });
}

test("every action has its words, and every word its action", () => {
  equal([...new Set(KEYS.map((key) => key.action))].sort(), Object.keys(words).sort());
});

test("a press means one thing, on every device", () => {
  for (const touch of [true, false]) {
    const presses = keysHere(touch).map((key) => [key.place, ...keyNames(key)].join());
    equal(presses.length, new Set(presses).size);
  }
});

test("Enter sends with a keyboard and starts a new line on touch", () => {
  equal(inComposer({ key: "Enter" }), "send");
  equal(inComposer({ key: "Enter", shiftKey: true }), "newLine");
  equal(inComposer({ key: "Enter", ctrlKey: true }), "send");
  equal(inComposer({ key: "Enter", altKey: true }), undefined);
  equal(inComposer({ key: "Enter" }, true), "newLine");
  equal(inComposer({ key: "Enter", ctrlKey: true }, true), "send");
  equal(action({ key: "Enter" }), undefined);
});

test("a key of a composition does nothing, whichever it is", () => {
  for (const { key, mod = false, shift = false, place } of KEYS) {
    const press = { key, ctrlKey: mod, shiftKey: shift };
    equal(action({ ...press, isComposing: true }, { place }), undefined);
    equal(action({ ...press, keyCode: 229 }, { place }), undefined);
  }
});

test("a key that is held down acts once and writes nothing, but an arrow moves on", () => {
  const input = document.createElement("textarea");
  document.body.append(input);
  /** @type {string[]} */
  const done = [];
  listen(input, "composer", {
    send: () => void done.push("send"),
    edit: () => void done.push("edit"),
  });
  const press = (/** @type {KeyboardEventInit} */ init) =>
    !input.dispatchEvent(new KeyboardEvent("keydown", { ...init, bubbles: true, cancelable: true }));
  equal([press({ key: "Enter" }), press({ key: "Enter", repeat: true })], [true, true]);
  equal([press({ key: "ArrowUp" }), press({ key: "ArrowUp", repeat: true })], [true, false]);
  equal(press({ key: "Enter", shiftKey: true, repeat: true }), false);
  equal(done, ["send", "edit"]);
  input.remove();
});

test("⌘ is for Apple's systems, Ctrl for the others", () => {
  const [ctrl, meta] = [
    { key: "k", ctrlKey: true },
    { key: "k", metaKey: true },
  ];
  equal([action(ctrl), action(meta)], ["newChat", undefined]);
  equal([action(ctrl, { apple: true }), action(meta, { apple: true })], [undefined, "newChat"]);
  equal(action({ key: "k", ctrlKey: true, metaKey: true }), undefined);
  equal(action({ key: "K", ctrlKey: true, shiftKey: true }), undefined);
  equal(action({ key: "K", ctrlKey: true }), "newChat");
  const [key] = KEYS.filter((key) => key.action === "newChat");
  equal(key && [keyNames(key, true), keyNames(key, false)], [
    ["⌘", "K"],
    ["Ctrl", "K"],
  ]);
});

test("a letter is found on a keyboard of another script", () => {
  equal(action({ key: "л", code: "KeyK", ctrlKey: true }), "newChat");
  // Here another Latin letter lies where K is: the letter counts.
  equal(action({ key: "t", code: "KeyK", ctrlKey: true }), undefined);
});

test("the question mark is text in a text field, and a key elsewhere, with whatever types it", () => {
  equal(action({ key: "?" }), "help");
  equal(action({ key: "?", shiftKey: true }), "help");
  equal(action({ key: "?", ctrlKey: true, altKey: true }), "help");
  equal(action({ key: "?", ctrlKey: true }), undefined);
  for (const [tag, type, expected] of [
    ["textarea", "", undefined],
    ["input", "text", undefined],
    ["input", "search", undefined],
    ["input", "checkbox", "help"],
    ["button", "button", "help"],
  ]) {
    const on = /** @type {HTMLInputElement} */ (document.createElement(tag ?? ""));
    if (type) on.type = type;
    document.body.append(on);
    equal([tag, type, action({ key: "?" }, { on })], [tag, type, expected]);
    on.remove();
  }
});

test("an open dialog has its own keys", () => {
  const dialog = document.createElement("dialog");
  document.body.append(dialog);
  dialog.showModal();
  equal(action({ key: "Escape" }), undefined);
  dialog.close();
  equal(action({ key: "Escape" }), "stop");
  dialog.remove();
});

test("keys have names", () => {
  equal(keysFor("stop"), ["Esc"]);
  equal(keyNames({ action: "newLine", key: "Enter", shift: true }, false), ["Shift", "Enter"]);
  equal(keyNames({ action: "newLine", key: "Enter", shift: true }, true), ["⇧", "Enter"]);
  equal(keyNames({ action: "edit", key: "ArrowUp" }), ["↑"]);
});
