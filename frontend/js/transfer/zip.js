/**
 * Takes single files out of a ZIP without reading the rest of it, which may be many pictures.
 *
 * Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (its end). Of
 * what it has, this knows stored and deflated files of less than 4 GiB without encryption; anything else is refused.
 */

import { Refused } from "./records.js";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;

/** The end of the directory is within so many bytes of the file's end: a comment may follow it. */
const END_WITHIN = 22 + 0xffff;

/** The directory of a hundred thousand files is smaller. */
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;

/** @typedef {{name: string, flags: number, method: number, packed: number, size: number, at: number}} Entry */

/** @param {Uint8Array} head the first bytes of a file */
export function isZip(head) {
  return head[0] === 0x50 && head[1] === 0x4b && (head[2] === 3 || head[2] === 5);
}

/**
 * Return what the ZIP says that it has. Throws `Refused` ("zipBroken").
 *
 * @param {Blob} file
 * @returns {Promise<Entry[]>}
 */
export async function entries(file) {
  const tail = await bytes(file, Math.max(0, file.size - END_WITHIN), file.size);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Refused("zipBroken");
  const [length, start] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (length > MAX_DIRECTORY_BYTES) throw new Refused("zipBroken");
  const directory = await bytes(file, start, start + length);
  /** @type {Entry[]} */
  const found = [];
  for (let at = 0; at < length; ) {
    if (at + 46 > length || directory.getUint32(at, true) !== CENTRAL) throw new Refused("zipBroken");
    const [name, extra, comment] = [28, 30, 32].map((place) => directory.getUint16(at + place, true));
    found.push({
      name: new TextDecoder().decode(new Uint8Array(directory.buffer).slice(at + 46, at + 46 + (name ?? 0))),
      flags: directory.getUint16(at + 8, true),
      method: directory.getUint16(at + 10, true),
      packed: directory.getUint32(at + 20, true),
      size: directory.getUint32(at + 24, true),
      at: directory.getUint32(at + 42, true),
    });
    at += 46 + (name ?? 0) + (extra ?? 0) + (comment ?? 0);
  }
  return found;
}

/**
 * Unpack one file. What it says of its size is believed only as far as that much comes out of it, so a small file cannot
 * fill the memory. Throws `Refused` ("zipBroken").
 *
 * @param {Blob} file
 * @param {Entry} entry
 */
export async function unpack(file, { flags, method, packed, size, at }) {
  const isEncrypted = (flags & 1) !== 0;
  if (isEncrypted || (method !== 0 && method !== 8)) throw new Refused("zipBroken");
  const header = await bytes(file, at, at + 30);
  if (header.getUint32(0, true) !== LOCAL) throw new Refused("zipBroken");
  const start = at + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const data = file.slice(start, start + packed);
  const unpacked = new Uint8Array(size);
  let length = 0;
  try {
    // Throws a ReferenceError in a browser that has none.
    const stream = method === 0 ? data.stream() : data.stream().pipeThrough(new DecompressionStream("deflate-raw"));
    const reader = stream.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (length + value.length > size) {
        await reader.cancel();
        throw new Refused("zipBroken");
      }
      unpacked.set(value, length);
      length += value.length;
    }
  } catch (error) {
    // TypeError: not deflated, or cut off.
    if (error instanceof TypeError || error instanceof ReferenceError) throw new Refused("zipBroken");
    throw error;
  }
  if (length < size) throw new Refused("zipBroken");
  return unpacked;
}

/**
 * @param {Blob} file
 * @param {number} start
 * @param {number} end
 */
async function bytes(file, start, end) {
  const read = await file.slice(start, end).arrayBuffer();
  if (read.byteLength < end - start) throw new Refused("zipBroken");
  return new DataView(read);
}
