import { FileRefused, MAX_FILE_CHARS, apart, fencedBlock, readText } from "../js/files.js";
import { fileRefused } from "../js/words/en.js";
import { equal, ok, rejection, test } from "./harness.js";

/** @param {BlobPart} content */
function file(content, name = "a.txt") {
  return new File([content], name);
}

/** @param {BlobPart} content */
async function refusal(content) {
  const error = await rejection(readText(file(content)));
  ok(error instanceof FileRefused);
  return error.reason;
}

/** @param {...number} bytes */
function raw(...bytes) {
  return new Uint8Array(bytes);
}

test("a text file is read as it is, with plain line ends", async () => {
  equal(await readText(file("größer 日本語 👩‍🚀\r\nnext\rlast\n")), "größer 日本語 👩‍🚀\nnext\nlast\n");
});

test("a byte order mark is not text", async () => {
  equal(await readText(file(raw(0xef, 0xbb, 0xbf, 0x61))), "a");
  equal(await readText(file(raw(0xff, 0xfe, 0x61, 0, 0xe9, 0))), "aé");
  equal(await readText(file(raw(0xfe, 0xff, 0, 0x61, 0, 0xe9))), "aé");
});

test("what is not UTF-8 is read as older programs wrote it", async () => {
  equal(await readText(file(raw(0x63, 0x61, 0x66, 0xe9, 0x20, 0x80))), "café €");
});

test("what is no text is refused", async () => {
  equal(await refusal(raw(0x61, 0, 0x62)), "binary");
  // The beginning of a PNG, without the zeros that follow.
  equal(await refusal(raw(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x01)), "binary");
  equal(await refusal(""), "empty");
});

test("a file may be as long as the limit, in any script, and no longer", async () => {
  const longest = "語".repeat(MAX_FILE_CHARS);
  equal((await readText(file(longest))).length, MAX_FILE_CHARS);
  equal(await refusal(longest + "x"), "tooLarge");
  equal(await refusal("x".repeat(MAX_FILE_CHARS + 1)), "tooLarge");
});

test("a file that is gone is refused", async () => {
  const gone = file("a");
  gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
  const error = await rejection(readText(gone));
  equal(error.reason, "unreadable");
});

test("a block carries the name, the language, and a fence that nothing in it closes", () => {
  equal(fencedBlock("main.py", "x = 1"), "main.py\n```py\nx = 1\n```\n");
  equal(fencedBlock("read.MD", "a\n```\nb\n```\n"), "read.MD\n````md\na\n```\nb\n```\n````\n");
  equal(fencedBlock("a.c++", "`````"), "a.c++\n``````c++\n`````\n``````\n");
  equal(fencedBlock("Makefile", "a\n"), "Makefile\n```\na\n```\n");
  equal(fencedBlock("odd.`x y`", "a\n"), "odd.`x y`\n```\na\n```\n");
  equal(fencedBlock("new\nline\u202e.txt", "a\n"), "newline.txt\n```txt\na\n```\n");
});

test("a block stands by itself", () => {
  equal(apart("b", ""), "b");
  equal(apart("b", "text"), "\n\nb");
  equal(apart("b", "text\n"), "\nb");
  equal(apart("b", "text\n\n"), "b");
});

test("each refusal is said in words, with the name and the limit", () => {
  const limits = { file: 64_000, message: 100_000 };
  equal(fileRefused("a.txt", "tooLarge", limits), "“a.txt” is too long: a file may have at most 64,000 characters.");
  equal(
    fileRefused("a.txt", "noRoom", limits),
    "“a.txt” does not fit: the message would be longer than 100,000 characters.",
  );
  equal(fileRefused("a.png", "binary", limits), "“a.png” is not a text file.");
});
