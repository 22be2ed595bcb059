/**
 * Markdown, shown while it arrives: CommonMark and GFM, footnotes, maths and coloured code, as DOM nodes.
 *
 * Nothing in the text can run or be fetched: it only ever becomes text nodes and elements of a fixed set, and the
 * attributes of a checked link. However the text is cut into pieces, the outcome is that of the whole.
 *
 *     const renderer = createRenderer(element);
 *     renderer.write("Some *text* that");
 *     renderer.write(" goes on");
 *     renderer.end();
 */

import { DocumentView } from "./block_views.js";
import { BlockParser } from "./blocks.js";
import { RenderContext } from "./context.js";
import { ENGLISH } from "./words.js";

/**
 * How long a drawing stays before the next: 1 ms for each character that it added, within these limits. Reading the text
 * costs next to nothing; that the browser lays it out and paints it does. Text that comes slower than this is drawn in
 * the next frame; text that comes faster than anybody reads comes line by line.
 */
const SHORTEST_MS = 40;
const LONGEST_MS = 150;

/**
 * Show what is written in an element, drawing at most once per animation frame.
 *
 * @param {Element} root empty; it belongs to the renderer from now on
 * @param {object} [options]
 * @param {import("./words.js").Words} [options.words] what its buttons say
 * @param {boolean} [options.autolinks] whether an address in plain text becomes a link, as in GFM but not in CommonMark
 * @returns {{write(text: string): void, end(): void}} `end` draws the rest at once; nothing may be written after it
 */
export function createRenderer(root, { words = ENGLISH, autolinks = true } = {}) {
  const renderer = new Renderer(root, { words, autolinks });
  return { write: (text) => renderer.write(text), end: () => renderer.end() };
}

class Renderer {
  #context;
  #parser;
  #view;
  /** What was written and is not drawn. */
  #written = "";
  /** The last line, as long as its end has not come. */
  #line = "";
  #isScheduled = false;
  #timer = 0;
  #frame = 0;
  /** Until when what is drawn stays as it is, ms of `performance.now()`. */
  #shownUntil = 0;
  #ended = false;
  /** The block that is marked as the one in which the text ends. @type {Element | null} */
  #end = null;

  /**
   * @param {Element} root
   * @param {{words: import("./words.js").Words, autolinks: boolean}} options
   */
  constructor(root, options) {
    this.#context = new RenderContext(root, options);
    this.#parser = new BlockParser(this.#context);
    this.#view = new DocumentView(this.#context, root);
  }

  /** @param {string} text */
  write(text) {
    if (this.#ended) throw new Error("the text has ended");
    this.#written += text;
    this.#context.written += text.length;
    if (!this.#isScheduled) this.#schedule();
  }

  #schedule() {
    this.#isScheduled = true;
    const wait = this.#shownUntil - performance.now();
    const draw = () => {
      this.#frame = requestAnimationFrame(() => this.#draw());
    };
    if (wait > 0) this.#timer = setTimeout(draw, wait);
    else draw();
  }

  end() {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#takeLines();
    if (this.#line !== "") this.#parser.add(this.#line.replace(/\r$/, ""));
    this.#parser.end();
    this.#markEnd(null);
    this.#view.finish(this.#parser.root);
    this.#view.draw(this.#parser.root);
    this.#context.end();
  }

  #draw() {
    this.#isScheduled = false;
    const shownFor = Math.min(Math.max(this.#written.length, SHORTEST_MS), LONGEST_MS);
    this.#shownUntil = performance.now() + shownFor;
    this.#takeLines();
    this.#view.settle(this.#parser.root);
    // The second half of a character may still come, or the second half of a line's end.
    const unfinished = this.#line.replace(/[\ud800-\udbff\r]$/, "");
    this.#parser.withUnfinished(unfinished, () => this.#view.draw(this.#parser.root));
    this.#markEnd(this.#view.end);
    this.#context.settle();
  }

  /** Mark where a style sheet may put a caret: to find the place itself would cost it more. @param {Element | null} end */
  #markEnd(end) {
    if (this.#end === end) return;
    this.#end?.removeAttribute("data-end");
    end?.setAttribute("data-end", "");
    this.#end = end;
  }

  #takeLines() {
    const text = this.#line + this.#written.replaceAll("\0", "\ufffd");
    this.#written = "";
    let start = 0;
    for (const end of text.matchAll(/\r\n|\n|\r(?!$)/g)) {
      this.#parser.add(text.slice(start, end.index));
      start = end.index + end[0].length;
    }
    this.#line = text.slice(start);
  }
}
