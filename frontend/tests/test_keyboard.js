import { heedKeyboard } from "../js/views/keyboard.js";
import { equal, test } from "./harness.js";

test("what a keyboard covers is told to the style sheets, what a zoom hides is not", () => {
  const viewport = Object.assign(new EventTarget(), { height: innerHeight, scale: 1 });
  const resized = (/** @type {number} */ height, scale = 1) => {
    Object.assign(viewport, { height, scale });
    viewport.dispatchEvent(new Event("resize"));
    return document.documentElement.style.getPropertyValue("--covered");
  };
  heedKeyboard(viewport);
  equal(resized(innerHeight - 300), "300px");
  equal(resized(innerHeight - 40), "0px");
  equal(resized(innerHeight / 2, 2), "0px");
  equal(resized(innerHeight), "0px");
  document.documentElement.style.removeProperty("--covered");
});
