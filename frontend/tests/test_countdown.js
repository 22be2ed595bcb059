import { countDown } from "../js/countdown.js";
import { equal, ok, test } from "./harness.js";

/** @param {number} ms */
function counted(ms, signal = new AbortController().signal) {
  /** @type {number[]} */
  const left = [];
  const until = Date.now() + ms;
  const late = new Promise((/** @type {(lateMs: number) => void} */ resolve) =>
    countDown(until, { left: (now) => left.push(until - now), over: resolve, signal }),
  );
  return { left, late };
}

test("what is left is told at once, then at each full second, and the end once", async () => {
  const { left, late } = counted(1900);
  equal(left.length, 1);
  ok((await late) >= 0);
  equal(left.length, 2);
  ok(Number(left[0]) > 1000 && Number(left[1]) <= 1000);
});

test("what is over already is told as that", async () => {
  const { left, late } = counted(-5000);
  ok((await late) >= 5000);
  equal(left, []);
});

test("one that is ended tells nothing more", async () => {
  const ending = new AbortController();
  const ended = counted(20, ending.signal);
  ending.abort();
  await counted(40).late;
  equal([ended.left.length, await Promise.race([ended.late, "nothing"])], [1, "nothing"]);
});

test("a page that is seen again looks at the clock", () => {
  const { left } = counted(60_000);
  document.dispatchEvent(new Event("visibilitychange"));
  equal(left.length, 2);
});
