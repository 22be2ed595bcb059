/** What all readers of Markdown do with a text and a position. */

/**
 * Match a pattern from a position on.
 *
 * @param {RegExp} pattern a sticky one, or a global one to search for it
 * @param {string} text
 * @param {number} at
 */
export function match(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/**
 * Where a text ends without the last of its characters that are among these. (A pattern for that would be tried at
 * every character.)
 *
 * @param {string} text
 * @param {string} characters
 */
export function endBefore(text, characters) {
  let end = text.length;
  while (end > 0 && characters.includes(/** @type {string} */ (text[end - 1]))) end -= 1;
  return end;
}

/**
 * Where a text ends without its last blank lines, and how many those are.
 *
 * @param {string} text of complete lines
 */
export function beforeBlankLines(text) {
  let end = text.length;
  let count = 0;
  while (end > 0) {
    const start = end > 1 ? text.lastIndexOf("\n", end - 2) + 1 : 0;
    if (text.slice(start, end).trim() !== "") break;
    end = start;
    count += 1;
  }
  return { end, count };
}
