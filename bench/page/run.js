/** Lets a contender show a text as the page would: some tokens in each frame, with the end always in view. */

import { Follow } from "/frontend/js/views/follow.js";
import { contenders } from "./contenders.js";

/** @typedef {import("./contenders.js").Renderer} Renderer */

const root = document.createElement("div");
/** @type {Renderer} */
let renderer;
/** @type {string[]} */
let pieces;
let next = 0;
let removed = 0;

/**
 * Set the stage: an empty answer in the page, and what is to be written into it.
 *
 * @param {{contender: string, pieces: string[], counting: boolean}} play `counting` counts nodes that are taken out
 */
export async function prepare(play) {
  const message = document.createElement("article");
  message.className = "message answer";
  root.className = "answer-text";
  message.append(root);
  const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  byId("conversation").append(message);
  byId("conversation").ariaBusy = "true";
  new Follow(byId("scroller"), byId("conversation"), byId("to-end"));
  document.body.classList.remove("empty");
  renderer = await contenders[play.contender](root);
  pieces = play.pieces;
  if (play.counting) {
    const observer = new MutationObserver((records) => {
      for (const record of records) removed += record.removedNodes.length;
    });
    observer.observe(root, { childList: true, subtree: true });
  }
  for (let frame = 0; frame < 60; frame += 1) await nextFrame();
}

/** Write the pieces up to this one, each in a frame of its own. @param {number} end */
export async function showUpTo(end) {
  for (; next < end; next += 1) {
    renderer.write(pieces[next]);
    await nextFrame();
  }
}

/** Settle the answer. @returns how many characters are shown, and how many nodes were taken out on the way */
export async function finish() {
  renderer.end();
  await nextFrame();
  await nextFrame();
  return { characters: root.textContent?.length ?? 0, removed };
}

/** Wait for a frame in which what was written is drawn. */
function nextFrame() {
  return new Promise(requestAnimationFrame);
}
