/** Makes elements, and changes them. */

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

/**
 * Let an element have these properties. What it has already is not set again: a browser would look at all its styles
 * again, and drawing asks for the same most of the time.
 *
 * @template {HTMLElement} Kind
 * @param {Kind} element
 * @param {Partial<Kind>} properties
 */
export function update(element, properties) {
  for (const name of /** @type {(keyof Kind)[]} */ (Object.keys(properties))) {
    const value = /** @type {Kind[keyof Kind]} */ (properties[name]);
    if (element[name] !== value) element[name] = value;
  }
}
