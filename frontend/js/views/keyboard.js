/**
 * Keeps the page within what a phone's keyboard leaves of the screen.
 *
 * Browsers that heed `interactive-widget=resizes-content` do it by themselves; Safari lays the keyboard over the page
 * and scrolls it away underneath.
 */

/** Less than this, in CSS pixels, is a bar of the browser, not a keyboard. */
const LEAST_HEIGHT = 80;

/**
 * Tell the style sheets how much is covered: `--covered`.
 *
 * @param {Pick<VisualViewport, "height" | "scale" | "addEventListener"> | null} viewport
 */
export function heedKeyboard(viewport = window.visualViewport) {
  if (!viewport) return;
  const { style } = document.documentElement;
  viewport.addEventListener("resize", () => {
    const covered = window.innerHeight - viewport.height;
    // Zoomed in with two fingers, the part that is seen is small for another reason.
    const isKeyboard = covered >= LEAST_HEIGHT && viewport.scale < 1.05;
    style.setProperty("--covered", isKeyboard ? `${Math.round(covered)}px` : "0px");
    if (isKeyboard) window.scrollTo(0, 0);
  });
}
