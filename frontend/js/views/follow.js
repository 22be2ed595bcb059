/**
 * Keeps the end of a scrolled text in view, for as long as the reader is there.
 *
 * It watches the text's size, so it moves in the frame in which the text grew, whoever wrote it. Nothing else moves
 * anything: a reader who scrolled up, selects, or holds the text stays where he is.
 */

import { words } from "../words/index.js";
import { update } from "./element.js";

const AT_END_PX = 8;

export class Follow {
  #scroller;
  #content;
  #button;
  #label;
  /** Whether the reader is at the end, and wants to stay there. */
  #following = true;
  /** A button or a finger is down on the text: it may be the beginning of a selection. */
  #pressed = false;
  #selecting = false;
  /** The reader has just opened or closed something: that stays where it is. */
  #disclosing = false;
  #hasNews = false;
  #top = 0;
  #height = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content what grows in it; busy while a text arrives
   * @param {HTMLElement} button brings the reader back to the end; its words are in a span
   */
  constructor(scroller, content, button) {
    this.#scroller = scroller;
    this.#content = content;
    this.#button = button;
    this.#label = /** @type {HTMLElement} */ (button.querySelector("span"));
    this.#listenToTheReader();
    button.addEventListener("click", () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(scroller);
    observer.observe(content);
  }

  /** Go to the end, and follow it again. */
  toEnd() {
    this.#following = true;
    this.#selecting = false;
    this.#resized();
  }

  /** Whether the reader is at the end, and stays there. */
  get isFollowing() {
    return this.#following;
  }

  /** Let go: the reader is to see something else than the end. */
  leave() {
    this.#letGo();
  }

  /**
   * Change the text so that one thing stays where it is on the screen.
   *
   * @param {Element | null} anchor
   * @param {() => Element | null} change returns what is to be where the anchor was
   */
  stay(anchor, change) {
    const before = anchor?.getBoundingClientRect().top;
    this.#letGo();
    const after = change()?.getBoundingClientRect().top;
    if (before !== undefined && after !== undefined) this.#scroller.scrollTop += after - before;
    this.#top = this.#scroller.scrollTop;
    this.#height = this.#scroller.scrollHeight;
    this.#drawButton();
  }

  #listenToTheReader() {
    const scroller = this.#scroller;
    const passive = { passive: true };
    // A wheel, a finger or a key lets go at once: its scroll event comes later, maybe after the next text.
    scroller.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && this.#letGo(), passive);
    let touchedAt = 0;
    scroller.addEventListener("touchstart", ({ touches }) => (touchedAt = touches[0]?.clientY ?? 0), passive);
    scroller.addEventListener(
      "touchmove",
      ({ touches }) => (touches[0]?.clientY ?? 0) > touchedAt && this.#letGo(),
      passive,
    );
    scroller.addEventListener("keydown", ({ key, shiftKey }) => {
      if (["ArrowUp", "PageUp", "Home"].includes(key) || (key === " " && shiftKey)) this.#letGo();
    });
    scroller.addEventListener("scroll", () => this.#scrolled(), passive);
    // Not on the scroll bar: browsers do not tell when that is let go.
    scroller.addEventListener("pointerdown", ({ target }) => (this.#pressed = target !== scroller));
    for (const type of ["pointerup", "pointercancel"]) window.addEventListener(type, () => this.#released(), passive);
    window.addEventListener("pointermove", ({ buttons }) => buttons === 0 && this.#released(), passive);
    document.addEventListener("selectionchange", () => this.#selected());
    this.#content.addEventListener("click", ({ target }) => this.#clicked(target), { capture: true });
  }

  #resized() {
    const { scrollHeight, clientHeight } = this.#scroller;
    const grew = scrollHeight > this.#height;
    this.#height = scrollHeight;
    if (scrollHeight <= clientHeight || (this.#disclosing && this.#isAtEnd)) this.#following = true;
    this.#disclosing = false;
    if (this.#following && !this.#pressed && !this.#selecting) this.#scroller.scrollTop = this.#isEmpty ? 0 : scrollHeight;
    else if (grew && this.#content.ariaBusy === "true") this.#hasNews = true;
    this.#top = this.#scroller.scrollTop;
    this.#drawButton();
  }

  #letGo() {
    if (this.#scroller.scrollHeight > this.#scroller.clientHeight) this.#following = false;
  }

  #scrolled() {
    const moved = this.#scroller.scrollTop - this.#top;
    this.#top = this.#scroller.scrollTop;
    if (this.#isAtEnd) this.#following ||= moved >= 0;
    else if (moved < 0) this.#following = false;
    this.#drawButton();
  }

  #released() {
    if (!this.#pressed) return;
    this.#pressed = false;
    // The selection that a click takes back is still there while its events are dispatched.
    setTimeout(() => this.#resized());
  }

  #selected() {
    const selection = getSelection();
    const was = this.#selecting;
    this.#selecting = selection !== null && !selection.isCollapsed && selection.containsNode(this.#content, true);
    if (was && !this.#selecting) this.#following = this.#isAtEnd;
    if (was !== this.#selecting) this.#drawButton();
  }

  /** @param {EventTarget | null} target */
  #clicked(target) {
    if (!(target instanceof Element) || !target.closest("summary, [aria-expanded]")) return;
    this.#letGo();
    this.#disclosing = true;
  }

  #drawButton() {
    const isAtEnd = this.#isAtEnd;
    if (isAtEnd) this.#hasNews = false;
    update(this.#button, { hidden: isAtEnd || this.#isEmpty || (this.#following && !this.#selecting) });
    update(this.#label, { textContent: this.#hasNews ? words.reading.newText : words.reading.toEnd });
  }

  /** Without a text there is a welcome, which is read from its beginning. */
  get #isEmpty() {
    return !this.#content.hasChildNodes();
  }

  get #isAtEnd() {
    const { scrollHeight, clientHeight, scrollTop } = this.#scroller;
    return scrollHeight - clientHeight - scrollTop <= AT_END_PX;
  }
}
