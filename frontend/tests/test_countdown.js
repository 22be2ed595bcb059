import { countDown } from "../js/countdown.js";
import { withClock } from "./clock.js";
import { equal, test } from "./harness.js";

/** @param {number} ms */
function counted(ms, signal = new AbortController().signal) {
  /** @type {number[]} */
  const left = [];
  /** @type {number[]} */
  const late = [];
  const until = Date.now() + ms;
  countDown(until, { left: (now) => left.push(until - now), over: (lateMs) => late.push(lateMs), signal });
  return { left, late };
}

test("what is left is told at once, then at each full second, and the end once", () =>
  withClock((pass) => {
    const { left, late } = counted(1900);
    equal(left, [1900]);
    pass(899);
    equal(left, [1900]);
    pass(1);
    equal(left, [1900, 1000]);
    pass(999);
    equal(late, []);
    pass(1);
    equal(late, [0]);
    pass(5000);
    equal([left, late], [[1900, 1000], [0]]);
  }));

test("what is over already is told as that", () =>
  withClock(() => {
    const { left, late } = counted(-5000);
    equal([left, late], [[], [5000]]);
  }));

test("one that is ended tells nothing more", () =>
  withClock((pass) => {
    const ending = new AbortController();
    const { left, late } = counted(20, ending.signal);
    ending.abort();
    pass(40);
    equal([left, late], [[20], []]);
  }));

test("a page that is seen again looks at the clock", () =>
  withClock(() => {
    const { left } = counted(60_000);
    document.dispatchEvent(new Event("visibilitychange"));
    equal(left.length, 2);
  }));
