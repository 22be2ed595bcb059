/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * Make an element. Properties, not attributes, so nothing given here is ever parsed as HTML.
 *
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
