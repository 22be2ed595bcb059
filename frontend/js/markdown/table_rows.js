/** The rows of a table: their cells, and what the delimiter row says of the columns. */

/** How wide a table may be: browsers take seconds for thousands of columns. */
export const MAX_COLUMNS = 100;

/**
 * The cells of a table's row; of a row that is too wide, one more than there may be. A bar that is escaped belongs to
 * its cell, even in code.
 *
 * @param {string} text
 */
export function cells(text) {
  const inner = text.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  const found = [];
  let start = 0;
  for (let at = 0; at < inner.length && found.length < MAX_COLUMNS; at += 1) {
    if (inner[at] === "\\") at += 1;
    else if (inner[at] === "|") {
      found.push(inner.slice(start, at));
      start = at + 1;
    }
  }
  found.push(inner.slice(start));
  return found.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** @param {string} cell of a delimiter row */
export function alignment(cell) {
  const [left, right] = [cell.startsWith(":"), cell.endsWith(":")];
  return left && right ? "center" : left ? "left" : right ? "right" : null;
}
