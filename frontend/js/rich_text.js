/** Makes of rendered Markdown what other programs take as rich text. */

/** What only the page needs: buttons, and where a browser may skip work. */
const TOOLS = "button, figcaption";
const WRAPPERS = ".md-group, .md-lines, .md-code, .md-table, .md-math";
const KEPT = new Set(["href", "title", "align", "start", "display", "dir", "colspan", "encoding"]);

/**
 * Return its HTML, without the page's buttons, wrappers and attributes.
 *
 * @param {Element} root
 */
export function toHtml(root) {
  const copied = /** @type {Element} */ (root.cloneNode(true));
  for (const tool of copied.querySelectorAll(TOOLS)) tool.remove();
  for (const box of copied.querySelectorAll("input")) box.replaceWith(box.checked ? "☑ " : "☐ ");
  for (const wrapper of copied.querySelectorAll(WRAPPERS)) wrapper.replaceWith(...wrapper.childNodes);
  for (const element of [copied, ...copied.querySelectorAll("*")]) {
    for (const { name } of [...element.attributes]) if (!KEPT.has(name)) element.removeAttribute(name);
  }
  return new XMLSerializer().serializeToString(copied);
}
