/** Makes of rendered Markdown what other programs take as rich text. */

/**
 * What only the page needs: buttons and the names of languages; the source beside a formula; marks for characters that
 * nobody sees, which are no more copied here than by a block's own button.
 */
const TOOLS = "button, figcaption, annotation, .md-invisible";
/** What is there for the page's own sake around that which is copied. Where a footnote's mark leads is only here. */
const WRAPPERS =
  ".md-group, .md-lines, .md-code, .md-table, .md-table > div, .md-footnotes li > div, .md-footnotes, .md-footnote > a, span.md-image, semantics";
const KEPT = new Set(["href", "title", "align", "start", "dir"]);

/**
 * Return its HTML, without the page's buttons, wrappers and attributes.
 *
 * @param {Element} root
 */
export function toHtml(root) {
  const copied = /** @type {Element} */ (root.cloneNode(true));
  for (const tool of copied.querySelectorAll(TOOLS)) tool.remove();
  for (const box of copied.querySelectorAll("input")) box.replaceWith(box.checked ? "☑" : "☐");
  for (const chip of /** @type {NodeListOf<HTMLElement>} */ (copied.querySelectorAll(".md-image:empty"))) {
    chip.textContent = chip.dataset.src ?? "";
  }
  for (const link of copied.querySelectorAll("a")) if (link.hasAttribute("href")) link.setAttribute("href", link.href);
  for (const html of copied.querySelectorAll(".md-html")) html.replaceChildren(...withBreaks(html.textContent));
  for (const formula of copied.querySelectorAll(".md-math")) rename(formula, "p");
  for (const footnotes of copied.querySelectorAll(".md-footnotes")) footnotes.before(document.createElement("hr"));
  for (const wrapper of copied.querySelectorAll(WRAPPERS)) wrapper.replaceWith(...wrapper.childNodes);
  for (const element of copied.querySelectorAll("[dir]")) sayDirection(element);
  for (const element of [copied, ...copied.querySelectorAll("*")]) {
    const kept = (/** @type {string} */ name) => (element instanceof MathMLElement ? name !== "class" : KEPT.has(name));
    for (const { name } of [...element.attributes]) if (!kept(name)) element.removeAttribute(name);
  }
  copied.normalize();
  return new XMLSerializer().serializeToString(copied);
}

/** @param {string} text */
function withBreaks(text) {
  return text.split("\n").flatMap((line, index) => (index > 0 ? [document.createElement("br"), line] : [line]));
}

/** @param {Element} element @param {string} name */
function rename(element, name) {
  const renamed = document.createElement(name);
  renamed.append(...element.childNodes);
  element.replaceWith(renamed);
}

/** Few programs find a direction out; so it is said, where it is another than around it. @param {Element} element */
function sayDirection(element) {
  const direction = element.matches(":dir(rtl)") ? "rtl" : "ltr";
  const around = element.parentElement?.closest("[dir]")?.getAttribute("dir") ?? "ltr";
  if (direction === around) element.removeAttribute("dir");
  else element.setAttribute("dir", direction);
}
