/**
 * Text files for a message: read, refused where they are none or too long, and written as a fenced block with their
 * name.
 */

/** The longest text of one file, in characters (UTF-16 code units). */
export const MAX_FILE_CHARS = 64_000;

/** A character takes at most three bytes in UTF-8, and two in UTF-16. */
const MAX_BYTES_PER_CHAR = 3;

/** What no text has: control characters but tab, line feed, form feed, carriage return and escape. */
const CONTROLS = /[\x01-\x08\x0B\x0E-\x1A\x1C-\x1F]/;

/** @typedef {"empty" | "tooLarge" | "binary" | "unreadable" | "noRoom"} Refusal */

/** Why a file cannot be part of a message. */
export class FileRefused extends Error {
  /** @param {Refusal} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * Return the text of a file, its lines ended by "\n".
 *
 * Throws `FileRefused` for one that is empty, too large, no text, or cannot be read (a folder, a file that is gone).
 *
 * @param {File} file
 */
export async function readText(file) {
  if (file.size > MAX_BYTES_PER_CHAR * MAX_FILE_CHARS) throw new FileRefused("tooLarge");
  const text = decode(await bytesOf(file)).replace(/\r\n?/g, "\n");
  if (text === "") throw new FileRefused("empty");
  if (text.length > MAX_FILE_CHARS) throw new FileRefused("tooLarge");
  return text;
}

/** @param {File} file */
async function bytesOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    // NotFoundError, NotReadableError: a folder, or changed since it was chosen.
    if (!(error instanceof DOMException)) throw error;
    throw new FileRefused("unreadable");
  }
}

/**
 * Decode UTF-8, UTF-16 that says so by its byte order mark, and what older programs write (Windows-1252).
 *
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function decode(bytes) {
  const mark = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  if (mark === 0xfffe || mark === 0xfeff) return new TextDecoder(mark === 0xfffe ? "utf-16le" : "utf-16be").decode(bytes);
  if (bytes.includes(0)) throw new FileRefused("binary");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  const text = new TextDecoder("windows-1252").decode(bytes);
  if (CONTROLS.test(text)) throw new FileRefused("binary");
  return text;
}

/**
 * Return a text as a fenced code block under its file's name: the fence is longer than every run of backticks in it,
 * and its info string is the name's extension.
 *
 * @param {string} name
 * @param {string} text
 */
export function fencedBlock(name, text) {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = "`".repeat(longest + 1);
  const extension = /\.([a-z0-9+#_-]{1,16})$/i.exec(name)?.[1] ?? "";
  const end = text.endsWith("\n") ? "" : "\n";
  return `${name.replace(/\p{C}/gu, "")}\n${fence}${extension.toLowerCase()}\n${text}${end}${fence}\n`;
}

/**
 * Return what to write at a place so that a block stands there by itself.
 *
 * @param {string} block
 * @param {string} before the text before that place
 */
export function apart(block, before) {
  if (before === "" || before.endsWith("\n\n")) return block;
  return (before.endsWith("\n") ? "\n" : "\n\n") + block;
}
