import { EventStreamParser } from "../js/sse.js";
import { equal, ok, test } from "./harness.js";

/** @typedef {string | {hex: string}} Chunk */

const { cases } = await (await fetch(new URL("sse_cases.json", import.meta.url))).json();
const encoder = new TextEncoder();

/** @param {Chunk} chunk */
function bytesOf(chunk) {
  if (typeof chunk === "string") return encoder.encode(chunk);
  return Uint8Array.from(chunk.hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** @param {Uint8Array[]} parts */
function join(parts) {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** @param {(Uint8Array | string)[]} chunks */
function parse(chunks) {
  const parser = new EventStreamParser();
  const events = chunks.flatMap((chunk) => parser.feed(chunk));
  parser.finish();
  return { events, retry: parser.retry, lastEventId: parser.lastEventId };
}

for (const { name, chunks, expect } of cases) {
  /** @type {Uint8Array[]} */
  const given = chunks.map(bytesOf);
  const whole = join(given);

  test(`case ${name}, as given`, () => equal(parse(given), expect));
  test(`case ${name}, joined`, () => equal(parse([whole]), expect));
  test(`case ${name}, byte by byte`, () => equal(parse(Array.from(whole, (byte) => Uint8Array.of(byte))), expect));
  test(`case ${name}, cut in two at every position`, () => {
    for (let at = 0; at <= whole.length; at += 1) {
      try {
        equal(parse([whole.subarray(0, at), whole.subarray(at)]), expect);
      } catch (error) {
        throw new Error(`cut at ${at}: ${error}`);
      }
    }
  });
  if (chunks.every((/** @type {Chunk} */ chunk) => typeof chunk === "string")) {
    test(`case ${name}, as strings`, () => equal(parse(chunks), expect));
  }
}

test("a string ends a character that was cut", () => {
  equal(parse([bytesOf("data: "), bytesOf({ hex: "e282" }), "!\n\n"]).events[0]?.data, "\uFFFD!");
});

test("finish() keeps the id and the reconnection time, and drops the rest", () => {
  const parser = new EventStreamParser();
  parser.feed("id: 7\nretry: 90\ndata: a\n\nid: 8\nevent: lost\ndata: lost");
  parser.finish();
  equal([parser.lastEventId, parser.retry], ["7", 90]);
  equal(parser.feed("data: b\n\n"), [{ type: "message", data: "b", lastEventId: "7" }]);
});

test("finish() forgets half a character, half a line end, and awaits a byte order mark again", () => {
  const parser = new EventStreamParser();
  parser.feed(bytesOf({ hex: "646174613ac3" }));
  parser.finish();
  parser.feed("data: a\r");
  parser.finish();
  equal(parser.feed(join([bytesOf({ hex: "efbbbf" }), bytesOf("data: b\n\n")])).length, 1);
});

test("reset() forgets everything", () => {
  const parser = new EventStreamParser("3");
  parser.feed("id: 7\nretry: 90\ndata: a\n\n");
  parser.reset();
  equal([parser.lastEventId, parser.retry], ["", null]);
});

test("the id of an earlier stream stands until the first new one", () => {
  const parser = new EventStreamParser("3");
  equal(
    parser.feed("data: a\n\nid: 4\ndata: b\n\n").map((event) => event.lastEventId),
    ["3", "4"],
  );
});

const MIB = 2 ** 20;

/** @param {() => void} work */
function timeOf(work) {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** @param {number} length */
function feedLongLine(length) {
  const chunk = new Uint8Array(1024).fill(120);
  const parser = new EventStreamParser();
  parser.feed("data:");
  for (let fed = 0; fed < length; fed += chunk.length) parser.feed(chunk);
  equal(parser.feed("\n\n")[0]?.data.length, length);
}

/**
 * Fail unless 4 times the input takes about 4 times as long. The bound lies between linear (4) and quadratic (16); what
 * takes less than 10 ms counts as 10, so that a pause of the machine is not taken for growth. Others use the processor
 * too: the least of a few counts.
 *
 * @param {(size: number) => void} work
 * @param {number} size
 */
function assertLinear(work, size) {
  work(size); // warms the compiler up
  let [short, long] = [Infinity, Infinity];
  for (let round = 0; round < 30 && (round < 3 || long >= 9 * Math.max(short, 10)); round += 1) {
    short = Math.min(short, timeOf(() => work(size)));
    long = Math.min(long, timeOf(() => work(4 * size)));
  }
  ok(long < 9 * Math.max(short, 10), `${short.toFixed(1)} ms, and ${long.toFixed(1)} ms for 4 times the input`);
}

test("a long line in small chunks costs as much a byte as a shorter one", () => {
  assertLinear(feedLongLine, MIB);
});

test("many short lines in one chunk cost as much a line as fewer", () => {
  assertLinear((lines) => equal(parse(["data: x\n\n".repeat(lines)]).events.length, lines), 20_000);
});
