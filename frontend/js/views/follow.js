/** Keeps the end of a scrolled element in view, for as long as the reader is there. */

const AT_END_PX = 8;

export class Follow {
  #scroller;
  #button;
  #following = true;
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} button brings the reader back to the end
   */
  constructor(scroller, button) {
    this.#scroller = scroller;
    this.#button = button;
    // A wheel, a finger or a key lets go at once: its scroll event comes later, maybe after the next text.
    scroller.addEventListener("wheel", ({ deltaY }) => deltaY < 0 && this.#letGo(), { passive: true });
    let touchedAt = 0;
    scroller.addEventListener("touchstart", ({ touches }) => (touchedAt = touches[0]?.clientY ?? 0), { passive: true });
    scroller.addEventListener("touchmove", ({ touches }) => (touches[0]?.clientY ?? 0) > touchedAt && this.#letGo(), {
      passive: true,
    });
    scroller.addEventListener("keydown", ({ key }) => ["ArrowUp", "PageUp", "Home"].includes(key) && this.#letGo());
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
    button.addEventListener("click", () => {
      this.toEnd();
      scroller.focus({ preventScroll: true });
    });
  }

  /** Call after the content has changed. */
  draw() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
    this.#button.hidden = this.#following || this.#toGo() <= AT_END_PX;
  }

  /** Go to the end, and follow it again. */
  toEnd() {
    this.#following = true;
    this.draw();
  }

  #letGo() {
    if (this.#scroller.scrollHeight > this.#scroller.clientHeight) this.#following = false;
  }

  #scrolled() {
    const moved = this.#scroller.scrollTop - this.#top;
    this.#top = this.#scroller.scrollTop;
    if (this.#toGo() <= AT_END_PX) this.#following ||= moved >= 0;
    else if (moved < 0) this.#following = false;
    this.#button.hidden = this.#following || this.#toGo() <= AT_END_PX;
  }

  #toGo() {
    return this.#scroller.scrollHeight - this.#scroller.clientHeight - this.#scroller.scrollTop;
  }
}
