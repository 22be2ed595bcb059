/**
 * Characters that are not seen but change what is read or copied: controls, marks of direction, zero-width ones, tags.
 * In code each is shown by its number. Source of the danger: CVE-2021-42574 ("Trojan Source").
 */

// Joiners within an emoji are what they seem.
const INVISIBLE =
  /(?<!\p{Extended_Pictographic}[\ufe0f\p{Emoji_Modifier}]?)\u200d|[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** How far back a joiner's emoji may begin, in UTF-16 units. */
const LONGEST_EMOJI = 4;

/**
 * The text as nodes: one text node, where there is nothing to show.
 *
 * @param {string} text
 * @param {string} [before] what stands before it
 * @returns {(Text | HTMLElement)[]}
 */
export function visibleText(text, before = "") {
  const known = before.slice(-LONGEST_EMOJI);
  const all = known + text;
  const nodes = [];
  let done = known.length;
  for (const { 0: character, index } of all.matchAll(INVISIBLE)) {
    if (index < done) continue;
    if (index > done) nodes.push(new Text(all.slice(done, index)));
    nodes.push(mark(character));
    done = index + character.length;
  }
  if (done < all.length) nodes.push(new Text(all.slice(done)));
  return nodes;
}

/** How many UTF-16 units one of these nodes stands for. @param {Node} node */
export function lengthOf(node) {
  if (node instanceof Text) return node.length;
  return parseInt(node.textContent?.slice("U+".length) ?? "", 16) > 0xffff ? 2 : 1;
}

/** @param {string} character */
function mark(character) {
  const point = character.codePointAt(0) ?? 0;
  const element = document.createElement("span");
  element.className = "md-invisible";
  element.textContent = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
  return element;
}
