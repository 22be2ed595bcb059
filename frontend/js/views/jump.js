/**
 * Brings words of a message into view and marks them, until the reader goes on: presses Esc, writes, or searches anew.
 *
 * The marks are highlights, which a browser paints over a text (CSS Custom Highlight API): the message itself is not
 * touched, so a selection stays and a text that grows goes on. Where there are none, the words are only brought into view.
 */

import { placesOf } from "../folding.js";
import { loadRenderer } from "./streamed_markdown.js";

/** The name of the highlight in the style sheet. */
const NAME = "search-hit";

/** How many places are marked at most. */
const MOST = 500;

/** A text that is about to be drawn is waited for, and a place may move while what is around it is laid out: in frames. */
const PATIENCE = 30;
const SETTLING = 6;

/** How far down the words are brought, as a part of what is seen. */
const DOWN = 0.3;

/** What lies within a line; between everything else a word ends. */
const INLINE = "a, abbr, b, bdi, cite, code, del, em, i, ins, kbd, mark, q, s, small, span, strong, sub, sup, u";

/** What is around the text of a message, or folded away. */
const ASIDE = "button, details, figcaption, form, .visually-hidden, .answer-foot, .message-actions, .katex-mathml, annotation";

export class Jump {
  #scroller;
  #follow;
  /** @type {AbortController | null} */
  #settling = null;

  /**
   * @param {HTMLElement} scroller has the messages; each has its id in `data-message`
   * @param {import("./follow.js").Follow} follow
   */
  constructor(scroller, follow) {
    this.#scroller = scroller;
    this.#follow = follow;
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.end());
    document.addEventListener("input", () => this.end());
    // Another conversation is shown.
    window.addEventListener("hashchange", () => this.end());
  }

  /**
   * Bring the first of these words into view, and mark them all; where the text has none, bring its beginning.
   *
   * @param {string} id of a message
   * @param {readonly string[]} words folded
   */
  async to(id, words) {
    this.end();
    const { signal } = (this.#settling = new AbortController());
    // Until then, the text is not drawn as it stays.
    await loadRenderer();
    const message = this.#scroller.querySelector(`[data-message="${CSS.escape(id)}"]`);
    if (signal.aborted || !(message instanceof HTMLElement)) return;
    this.#follow.leave();
    message.tabIndex = -1;
    message.focus({ preventScroll: true });
    let ranges = rangesOf(message, words);
    if (ranges.length === 0) message.scrollIntoView();
    for (let frame = 0; ranges.length === 0 && frame < PATIENCE && !signal.aborted; frame += 1) {
      await nextFrame();
      ranges = rangesOf(message, words);
    }
    if (signal.aborted || !ranges[0]) return;
    globalThis.CSS.highlights?.set(NAME, new Highlight(...ranges));
    const first = document.createRange();
    first.setStart(ranges[0].startContainer, ranges[0].startOffset);
    first.setEnd(ranges[0].endContainer, ranges[0].endOffset);
    await this.#bring(first, signal);
  }

  /** Take the marks away. */
  end() {
    this.#settling?.abort();
    this.#settling = null;
    globalThis.CSS.highlights?.delete(NAME);
  }

  /**
   * What is out of sight is laid out only when it comes into view, and pushes the rest around: so this looks again. The
   * reader's own wheel, finger or key has the last word.
   *
   * @param {Range} range
   * @param {AbortSignal} signal
   */
  async #bring(range, signal) {
    const reader = new AbortController();
    for (const type of ["wheel", "touchstart", "pointerdown", "keydown"])
      window.addEventListener(type, () => reader.abort(), { passive: true, signal: reader.signal });
    for (let frame = 0; frame < SETTLING && !signal.aborted && !reader.signal.aborted; frame += 1) {
      this.#scrollTo(range);
      await nextFrame();
    }
    reader.abort();
  }

  /** @param {Range} range */
  #scrollTo(range) {
    const scroller = this.#scroller;
    // Code and tables scroll by themselves, sideways.
    for (let box = range.startContainer.parentElement; box && box !== scroller; box = box.parentElement) {
      if (box.scrollWidth <= box.clientWidth) continue;
      const [outer, inner] = [box.getBoundingClientRect(), range.getBoundingClientRect()];
      const isInside = inner.left >= outer.left && inner.right <= outer.right;
      if (!isInside) box.scrollLeft += inner.left + inner.width / 2 - (outer.left + outer.width / 2);
    }
    const { top, height } = scroller.getBoundingClientRect();
    const away = range.getBoundingClientRect().top - (top + DOWN * height);
    if (Math.abs(away) > 1) scroller.scrollTop += away;
  }
}

/**
 * Where words are in what is shown of a message, also where one is partly set in bold.
 *
 * @param {HTMLElement} message
 * @param {readonly string[]} words folded
 * @returns {StaticRange[]} in order; not kept up to date, so that they cost a growing text nothing
 */
export function rangesOf(message, words) {
  /** @type {{node: Text, start: number}[]} */
  const pieces = [];
  let text = "";
  /** @type {Element | null} */
  let block = null;
  const walk = document.createTreeWalker(message, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) =>
    node instanceof Element && node.matches(ASIDE) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
  );
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.nodeName === "BR") text += "\n";
    if (!(node instanceof Text)) continue;
    let around = node.parentElement;
    while (around && around !== message && around.matches(INLINE)) around = around.parentElement;
    if (around !== block) text += "\n";
    block = around;
    pieces.push({ node, start: text.length });
    text += node.data;
  }
  /** @param {number} place */
  const pieceAt = (place) => pieces.findLast(({ start }) => start <= place);
  return placesOf(text, words, MOST).flatMap(([start, end]) => {
    const [first, last] = [pieceAt(start), pieceAt(end - 1)];
    if (!first || !last) return [];
    // What is between two pieces belongs to neither.
    const startOffset = Math.min(start - first.start, first.node.length);
    const endOffset = Math.min(end - last.start, last.node.length);
    return [new StaticRange({ startContainer: first.node, startOffset, endContainer: last.node, endOffset })];
  });
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}
