/**
 * The keys of the page: one table, from which keys are heard and from which the reader is told of them.
 *
 * A key that ends or steers an input method's composition is never one of them.
 */

/**
 * @typedef {"send" | "newLine" | "edit" | "stop" | "newChat" | "search" | "help"} Action
 *
 * @typedef {object} Key
 * @property {Action} action
 * @property {string} key as in `KeyboardEvent.key`
 * @property {boolean} [shift] with Shift
 * @property {boolean} [mod] with ⌘ on Apple's systems, with Ctrl elsewhere
 * @property {"composer"} [place] where it is heard; everywhere by default
 * @property {boolean} [touch] only where one writes on the screen (true), or only where there is a keyboard (false)
 */

/** @type {readonly Key[]} */
export const KEYS = [
  { action: "send", key: "Enter", place: "composer", touch: false },
  { action: "send", key: "Enter", mod: true, place: "composer" },
  { action: "newLine", key: "Enter", place: "composer", touch: true },
  { action: "newLine", key: "Enter", shift: true, place: "composer" },
  { action: "edit", key: "ArrowUp", place: "composer" },
  { action: "stop", key: "Escape" },
  { action: "newChat", key: "k", mod: true },
  { action: "search", key: "/" },
  { action: "help", key: "?" },
];

const APPLE = /mac|iphone|ipad/i.test(navigator.platform);

/** What keys are called; those that are not here are called as they are. @type {Record<string, string>} */
const NAMES = { Escape: "Esc", ArrowUp: "↑" };

// Made once: each new query has the browser bring all styles up to date.
const touch = matchMedia("(hover: none) and (pointer: coarse)");

/** Whether one writes on the screen, without a keyboard of its own to break a line with Shift + Enter. */
export function onTouch() {
  return touch.matches;
}

/** The keys that do something on this device. */
export function keysHere(touch = onTouch()) {
  return KEYS.filter((key) => key.touch === undefined || key.touch === touch);
}

/**
 * The names of the keys to press together.
 *
 * @param {Key} key
 */
export function keyNames({ key, shift, mod }, apple = APPLE) {
  const name = NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
  return [...(mod ? [apple ? "⌘" : "Ctrl"] : []), ...(shift ? [apple ? "⇧" : "Shift"] : []), name];
}

/**
 * The keys for this action on this device, in words: "Esc".
 *
 * @param {Action} action
 */
export function keysFor(action) {
  const keys = keysHere().filter((key) => key.action === action);
  return keys.map((key) => keyNames(key).join(" + "));
}

/**
 * Hear the keys of a place. One that is held down acts once: what it would write then is no text.
 *
 * @param {Document | HTMLElement} target
 * @param {Key["place"]} place
 * @param {Partial<Record<Action, () => boolean | void>>} actions what to do; one that returns false, and one that is
 *   missing, leaves the key to the browser
 */
export function listen(target, place, actions) {
  target.addEventListener("keydown", (event) => {
    const { repeat } = /** @type {KeyboardEvent} */ (event);
    const key = keyOf(/** @type {KeyboardEvent} */ (event), place);
    const act = key && actions[key.action];
    if (!act) return;
    // An arrow moves the caret, too.
    const isTaken = repeat ? key.action !== "edit" : act() !== false;
    if (isTaken) event.preventDefault();
  });
}

/**
 * The key of the table that was pressed.
 *
 * @param {KeyboardEvent} event
 * @param {Key["place"]} place
 */
export function keyOf(event, place, touch = onTouch(), apple = APPLE) {
  if (event.defaultPrevented || isComposing(event)) return undefined;
  // What lies over the page has its own keys, Esc above all.
  if (document.querySelector(":modal")) return undefined;
  return keysHere(touch).find((key) => key.place === place && matches(key, event, apple));
}

/**
 * Whether a key belongs to an input method. Safari ends a composition before the Enter that ends it, with 229.
 *
 * @param {KeyboardEvent} event
 */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/**
 * @param {Key} key
 * @param {KeyboardEvent} event
 * @param {boolean} apple
 */
function matches({ key, shift = false, mod = false }, event, apple) {
  const { ctrlKey, metaKey, altKey } = event;
  // A character is typed with what it takes on this keyboard, and only where it is not text.
  if (!mod && key.length === 1) return event.key === key && !metaKey && ctrlKey === altKey && !inText(event.target);
  if (event.shiftKey !== shift || altKey) return false;
  if ((apple ? metaKey : ctrlKey) !== mod || (apple ? ctrlKey : metaKey)) return false;
  return event.key.toLowerCase() === key.toLowerCase() || isLatin(event, key);
}

/**
 * Whether a key has this letter on a Latin keyboard, where it types one of another script.
 *
 * @param {KeyboardEvent} event
 * @param {string} letter
 */
function isLatin(event, letter) {
  return event.key > "\x7F" && event.code === `Key${letter.toUpperCase()}`;
}

/** @param {EventTarget | null} target */
function inText(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("textarea, input:not([type=checkbox])"));
}
