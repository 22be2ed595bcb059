/**
 * Makes an element a scroller, and a stop of the Tab key, only as long as its content is wider than it is: each scroller
 * costs the browser something in every frame, and a stop where nothing can be done costs the reader.
 */

// Called after layout, so that asking for sizes here costs none.
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scroller = target.parentElement;
    if (!scroller) continue;
    const isWide = target.scrollWidth > scroller.clientWidth;
    if (scroller.classList.contains("md-scroller") === isWide) continue;
    scroller.classList.toggle("md-scroller", isWide);
    if (isWide) scroller.tabIndex = 0;
    else scroller.removeAttribute("tabindex");
  }
});

/** @param {Element} content what may become wider than its parent */
export function scrollIfWide(content) {
  observer.observe(content);
}
