/**
 * What the tests of the Markdown renderer share: frames that come when they are called, a specification's HTML beside
 * the renderer's DOM, random texts, and the smallest text that still fails.
 */

import { createRenderer } from "../js/markdown/index.js";

/**
 * What waits for a frame, by its handle.
 *
 * @type {Map<number, FrameRequestCallback>}
 */
const waiting = new Map();
let lastHandle = 0;

const requestRealFrame = window.requestAnimationFrame.bind(window);

/** Resolve when the browser has laid out and painted what is there now. */
export async function painted() {
  for (let frames = 0; frames < 2; frames += 1) await new Promise(requestRealFrame);
}

window.requestAnimationFrame = (callback) => {
  waiting.set((lastHandle += 1), callback);
  return lastHandle;
};
window.cancelAnimationFrame = (handle) => {
  waiting.delete(handle);
};

/** The frames are so far apart that none of them is left out for having come too soon. */
const FRAME_MS = 1000;
let now = 0;

/** The real time, ms: what is under test sees that of the frames. */
export const clock = performance.now.bind(performance);
performance.now = () => now;

/** Do what waits for the next frame; return how many wait. */
export function drawFrame() {
  const callbacks = [...waiting.values()];
  waiting.clear();
  for (const callback of callbacks) callback(now);
  now += FRAME_MS;
  return callbacks.length;
}

/**
 * Render pieces of Markdown, each in a frame of its own, and return the root.
 *
 * @param {Iterable<string>} pieces
 * @param {{root?: HTMLElement, drawn?: (root: HTMLElement) => void, autolinks?: boolean}} [options] `drawn` is called
 *   after each frame
 */
export function render(pieces, { root = document.createElement("div"), drawn, autolinks = true } = {}) {
  const renderer = createRenderer(root, { autolinks });
  for (const piece of pieces) {
    renderer.write(piece);
    drawFrame();
    drawn?.(root);
  }
  renderer.end();
  drawFrame();
  drawn?.(root);
  return root;
}

/**
 * Return the text's UTF-16 units, so that surrogate pairs are cut as well.
 *
 * @param {string} text
 */
export const units = (text) => text.split("");

/**
 * Return the text cut at the places.
 *
 * @param {string} text
 * @param {number[]} places
 */
export function cut(text, places) {
  const ends = [...places].sort((a, b) => a - b);
  return [...ends, text.length].map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

/**
 * Return a generator of numbers from 0 to below 1, the same ones for the same seed (mulberry32).
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How long the smallest text is looked for. */
const PATIENCE_MS = 2000;

/**
 * Return a shorter text that still fails; where there was time enough, one from which nothing can be left out.
 *
 * @param {string} text
 * @param {(text: string) => boolean} fails
 */
export function smallest(text, fails) {
  const end = clock() + PATIENCE_MS;
  for (let size = text.length >> 1; size; size = Math.min(size, text.length) >> 1) {
    for (let at = 0; at < text.length; ) {
      if (clock() > end) return text;
      const shorter = text.slice(0, at) + text.slice(at + size);
      if (fails(shorter)) text = shorter;
      else at += size;
    }
  }
  return text;
}

/** @typedef {[name: string, attributes: string[], children: unknown[]]} Tree */

/** What is linked with another scheme is plain content here. */
const SCHEMES = ["http", "https", "mailto"];

// The specification's HTML has line ends beside the tags of these, and inside the tags of those.
const BLOCKS = "BLOCKQUOTE H1 H2 H3 H4 H5 H6 HR LI OL P PRE TABLE TBODY TD TH THEAD TR UL".split(" ");
const HOLDERS = "BLOCKQUOTE BODY LI OL TABLE TBODY THEAD TR UL".split(" ");

/**
 * Return an example's HTML as a tree.
 *
 * @param {string} html
 */
export function expectedTree(html) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  for (const link of body.querySelectorAll("a[href]")) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(link.getAttribute("href") ?? "")?.[1];
    if (scheme && !SCHEMES.includes(scheme.toLowerCase())) link.replaceWith(...link.childNodes);
  }
  body.normalize();
  return treeOf(body);
}

/**
 * Return the renderer's DOM as a tree, less what it has by design and the specification has not.
 *
 * @param {Element} root
 * @returns {Tree}
 */
export function actualTree(root) {
  const copy = /** @type {Element} */ (root.cloneNode(true));
  for (const button of copy.querySelectorAll("button")) button.remove();
  for (const block of copy.querySelectorAll("[dir=auto]")) block.removeAttribute("dir");
  for (const item of copy.querySelectorAll("li.md-task")) item.removeAttribute("class");
  for (const box of copy.querySelectorAll("input[type=checkbox]")) box.removeAttribute("aria-label");
  for (const group of copy.querySelectorAll(".md-group, .md-lines, span:not([class], [data-src])"))
    group.replaceWith(...group.childNodes);
  for (const character of copy.querySelectorAll(".md-invisible")) {
    const point = parseInt(character.textContent.replace("U+", ""), 16);
    character.replaceWith(String.fromCodePoint(point));
  }
  for (const scroller of copy.querySelectorAll(".md-table"))
    scroller.replaceWith(...scroller.querySelectorAll("table"));
  for (const figure of copy.querySelectorAll(".md-code")) restoreCode(figure);
  for (const link of copy.querySelectorAll("a[target=_blank]")) {
    for (const name of ["target", "rel", "data-host"]) link.removeAttribute(name);
  }
  for (const chip of copy.querySelectorAll(".md-image")) restoreImage(chip);
  copy.normalize();
  return ["body", [], treeOf(copy)[2]];
}

/** @param {Element} figure */
function restoreCode(figure) {
  const language = figure.querySelector(".md-language")?.textContent;
  const code = figure.querySelector(":scope > pre > code");
  if (!code) throw new Error(`no code in ${figure.outerHTML.slice(0, 200)}`);
  if (language) code.className = `language-${language}`;
  const pre = document.createElement("pre");
  pre.append(code);
  figure.replaceWith(pre);
}

/** @param {Element} chip */
function restoreImage(chip) {
  // Nothing may be loaded for a comparison: an element of this name in no namespace is not an image.
  const image = document.createElementNS(null, "img");
  image.setAttribute("alt", chip.textContent);
  for (const { name, value } of chip.attributes) {
    if (name === "data-src") image.setAttribute("src", value);
    else if (name !== "href" && name !== "class") image.setAttribute(name, value);
  }
  chip.replaceWith(image);
}

/**
 * @param {Element} element
 * @returns {Tree}
 */
function treeOf(element) {
  const attributes = [...element.attributes].map(({ name, value }) => `${name}=${value}`).sort();
  const children = [...element.childNodes].map((node) => {
    if (node instanceof Element) return treeOf(node);
    return node instanceof Text ? significant(node) : `<!${node.nodeName}>`;
  });
  return [element.localName, attributes, children.filter((child) => child !== "")];
}

/**
 * Return the text less the line ends that are there only for who reads the HTML.
 *
 * @param {Text} text
 */
function significant({ data, previousSibling, nextSibling, parentElement }) {
  if (!parentElement || parentElement.closest("pre")) return data;
  const atEdge = HOLDERS.includes(parentElement.nodeName);
  const before = previousSibling ? isBlock(previousSibling) || isBreak(previousSibling) : atEdge;
  const after = nextSibling ? isBlock(nextSibling) : atEdge;
  return data.replace(before ? /^\n/ : /^(?!)/, "").replace(after ? /\n$/ : /(?!)$/, "");
}

/** @param {Node} node */
const isBlock = (node) => BLOCKS.includes(node.nodeName);

/** @param {Node} node */
const isBreak = (node) => node.nodeName === "BR";

/**
 * Return what is wrong with the DOM's text nodes, or null: none is empty, and no two are beside each other.
 *
 * @param {Element} root
 */
export function untidyText(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = /** @type {Text} */ (walker.currentNode);
    const place = () => text.parentElement?.outerHTML.slice(0, 200);
    if (!text.data) return `an empty text node in ${place()}`;
    if (text.nextSibling instanceof Text)
      return `text nodes ${JSON.stringify([text.data, text.nextSibling.data])} in ${place()}`;
  }
  return null;
}
