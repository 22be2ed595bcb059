/**
 * Takes conversations away as a file, and brings in those of a file: ours, ChatGPT's, Open WebUI's and llama.cpp's.
 *
 *     const { name, type, parts } = await exportFile(conversations, "json", { words });
 *     const { taken, known, refused } = await importFile(store, file);
 *
 * A file is read and checked as a whole before any of it is written, and then all of it is written at once or nothing. What
 * is wrong with one conversation refuses that one; what is wrong with the file throws `Refused`. Importing a file again
 * adds nothing, and importing a newer one of the same conversations adds what is new in it.
 */

import * as burble from "./burble.js";
import * as chatgpt from "./chatgpt.js";
import * as llamaCpp from "./llama_cpp.js";
import { toMarkdown } from "./markdown.js";
import * as openWebUi from "./open_webui.js";
import { Refused, title } from "./records.js";
import { entries, isZip, unpack } from "./zip.js";

export { Refused } from "./records.js";

/**
 * @typedef {import("./records.js").Whole} Whole
 * @typedef {import("./records.js").Message} Message
 * @typedef {import("./records.js").FileReason} FileReason
 * @typedef {import("./records.js").ConversationReason} ConversationReason
 *
 * One that was not taken: the `which`th of the file, from 1.
 *
 * @typedef {{which: number, title: string, reason: ConversationReason}} NotTaken
 *
 * What is interchangeable about a format: `matches` knows a file of it, `items` finds the conversations in it, and `read`
 * makes our records of one or throws `Refused`.
 *
 * @typedef {object} Reader
 * @property {string} source the name of the program
 * @property {(json: unknown) => boolean} matches
 * @property {(json: unknown) => unknown[]} items
 * @property {(item: unknown) => unknown} titleOf
 * @property {(item: unknown) => Whole} read
 */

/** @type {Reader[]} */
const READERS = [burble, chatgpt, llamaCpp, openWebUi];

/**
 * The most text that is read, in bytes: parsed, it takes some times as much memory, and one string of a browser has at
 * most 2^29 characters.
 */
export const MAX_BYTES = 200 * 1024 * 1024;

/** The most conversations of one file: the list of them all is in memory. */
export const MAX_CONVERSATIONS = 20_000;

/** How long the page may be kept from anything else, in ms. */
const SLICE_MS = 30;

/** The longest name of a file, in characters, without its extension. */
const MAX_NAME_CHARS = 60;

/**
 * Make a file of conversations. `parts` are the texts of it, for a Blob: together they may be too long for one string.
 *
 * @param {Whole[]} conversations
 * @param {"json" | "markdown"} form
 * @param {object} options
 * @param {import("./markdown.js").MarkdownWords} options.words
 * @param {number} [options.now] ms since the epoch
 */
export async function exportFile(conversations, form, { words, now = Date.now() }) {
  const [only, ...others] = conversations;
  const name = fileName(only && others.length === 0 ? only.conversation.title : "", now);
  const isJson = form === "json";
  /** @type {string[]} */
  const parts = [];
  const rest = rests();
  for (const part of isJson ? burble.toJson(conversations, now) : toMarkdown(conversations, words)) {
    parts.push(part);
    await rest();
  }
  return { name: `${name}.${isJson ? "json" : "md"}`, type: isJson ? "application/json" : "text/markdown", parts };
}

/** Return what is to be called between two pieces of work: when it is time, it lets the page do something else. */
function rests() {
  let since = performance.now();
  return async (/** @type {() => void} */ before = () => {}) => {
    if (performance.now() - since < SLICE_MS) return;
    before();
    await new Promise((resolve) => setTimeout(resolve));
    since = performance.now();
  };
}

/**
 * A name that every file system takes.
 *
 * @param {string} title
 * @param {number} now ms since the epoch
 */
function fileName(title, now) {
  const safe = title
    .normalize("NFC")
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "");
  const at = new Date(now);
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
  return `burble-${[...safe].slice(0, MAX_NAME_CHARS).join("").replace(/-+$/, "") || date}`;
}

/**
 * Read a file, and write nothing. Throws `Refused` where it is wrong as a whole.
 *
 * @param {Blob} file
 * @param {(done: number, of: number) => void} [onProgress]
 * @returns {Promise<{source: string, conversations: Whole[], refused: NotTaken[]}>}
 */
export async function readFile(file, onProgress = () => {}) {
  /** @type {[Reader, unknown][]} */
  const items = [];
  for (const json of await documents(file)) {
    const reader = READERS.find((each) => each.matches(json));
    if (reader) for (const item of reader.items(json)) items.push([reader, item]);
  }
  if (items.length > MAX_CONVERSATIONS) throw new Refused("tooMany");
  const [first] = items;
  if (!first) throw new Refused("unknown");
  /** @type {Whole[]} */
  const conversations = [];
  /** @type {NotTaken[]} */
  const refused = [];
  const known = new Ids();
  const rest = rests();
  for (const [index, [reader, item]] of items.entries()) {
    try {
      const whole = reader.read(item);
      known.add(whole);
      conversations.push(whole);
    } catch (error) {
      // RangeError: nested so deeply that the browser gives up.
      const reason = error instanceof RangeError ? "shape" : error instanceof Refused && error.reason;
      if (!reason) throw error;
      refused.push({ which: index + 1, title: title(reader.titleOf(item)), reason: /** @type {ConversationReason} */ (reason) });
    }
    await rest(() => onProgress(index + 1, items.length));
  }
  return { source: first[0].source, conversations, refused };
}

/** The ids of what was read: no two conversations are the same, and no message is in two. */
class Ids {
  #ids = new Set();

  /** @param {Whole} whole */
  add({ conversation, messages }) {
    const ids = [`/${conversation.id}`, ...messages.map(({ id }) => id)];
    if (ids.some((id) => this.#ids.has(id))) throw new Refused("twice");
    for (const id of ids) this.#ids.add(id);
  }
}

/**
 * Read a file and keep what is in it. Throws `Refused` where it is wrong as a whole, and where nothing could be written.
 *
 * @param {import("../store.js").Store} store
 * @param {Blob} file
 * @param {(done: number, of: number) => void} [onProgress]
 */
export async function importFile(store, file, onProgress) {
  const { source, conversations, refused } = await readFile(file, onProgress);
  const taken = conversations.length === 0 ? { conversations: 0, messages: 0 } : await store.take(conversations);
  if (!taken) throw new Refused("notWritten");
  // How many of the file's conversations were here before.
  return { source, taken, known: conversations.length - taken.conversations, refused };
}

/**
 * The JSON of a file; of a ZIP, of each file in it that may have conversations.
 *
 * @param {Blob} file
 */
async function documents(file) {
  try {
    const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    if (isZip(head)) return await zipped(file);
    if (file.size > MAX_BYTES) throw new Refused("tooLarge");
    return [parsed(new Uint8Array(await file.arrayBuffer()))];
  } catch (error) {
    // NotFoundError, NotReadableError: a folder, or changed since it was chosen.
    if (error instanceof DOMException) throw new Refused("unreadable");
    throw error;
  }
}

/** @param {Blob} file */
async function zipped(file) {
  const wanted = (await entries(file)).filter(({ name }) => /(^|\/)(conversations[^/]*\.json|[^/]+\.jsonl)$/i.test(name));
  if (wanted.length === 0) throw new Refused("zip");
  if (wanted.reduce((sum, { size }) => sum + size, 0) > MAX_BYTES) throw new Refused("tooLarge");
  const found = [];
  for (const entry of wanted) found.push(parsed(await unpack(file, entry)));
  return found;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function parsed(bytes) {
  const text = decoded(bytes);
  if (text.trim() === "") throw new Refused("empty");
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw new Refused("tooDeep");
    if (!(error instanceof SyntaxError)) throw error;
  }
  const sessions = llamaCpp.fromLines(lines(text));
  if (!sessions) throw new Refused("unknown");
  return sessions;
}

/**
 * JSON lines. Throws `Refused` for any other text.
 *
 * @param {string} text
 */
function lines(text) {
  /** @type {unknown[]} */
  const records = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    try {
      records.push(JSON.parse(line));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      // What begins like JSON, but has no end.
      const whole = text.trim();
      throw new Refused("[{".includes(whole.charAt(0)) && !"]}".includes(whole.charAt(whole.length - 1)) ? "cutOff" : "notJson");
    }
  }
  return records;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Refused("notText");
  }
}
