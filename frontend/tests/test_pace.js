import { Pace } from "../js/pace.js";
import { equal, test } from "./harness.js";

/**
 * Return whether events at these times, in ms after each other, are taken for clumps.
 *
 * @param {number[][]} connections
 */
function isClumpy(...connections) {
  const pace = new Pace();
  let now = 0;
  for (const gaps of connections) {
    pace.begin();
    for (const gap of gaps) pace.event((now += gap));
  }
  pace.begin();
  return pace.clumpy;
}

/**
 * @param {number} count
 * @param {number} silence before the first, in ms
 * @param {number} [gap] between two, in ms
 */
const burst = (count, silence, gap = 0.1) => [silence, ...Array(count - 1).fill(gap)];
/** @param {number} count @param {() => number[]} make */
const times = (count, make) => Array.from({ length: count }, make).flat();

test("clumps in a row are told", () => {
  equal(isClumpy(times(5, () => burst(50, 1000))), true);
  equal(isClumpy(times(4, () => burst(50, 1000))), false);
  equal(isClumpy(times(5, () => burst(19, 1000))), false);
  equal(isClumpy(times(5, () => burst(50, 400))), false);
});

test("clumps are counted over the answers of one page, the first of each left out", () => {
  equal(isClumpy(...Array(4).fill(times(2, () => burst(100, 800)))), true);
  equal(isClumpy(...Array(20).fill(burst(100, 800))), false);
});

test("an even pace is none of clumps, fast or slow", () => {
  equal(isClumpy(times(2000, () => [20])), false);
  equal(isClumpy(times(2000, () => [0.5])), false);
  equal(isClumpy(times(100, () => [900])), false);
});

test("a model that pauses, and one that writes a few tokens at a time, are not accused", () => {
  equal(isClumpy(times(20, () => burst(100, 700, 8))), false);
  equal(isClumpy(times(100, () => burst(8, 600))), false);
});

test("a network that stalls, but flows in between, is not accused", () => {
  equal(isClumpy(times(20, () => [...burst(60, 1500), ...Array(200).fill(25)])), false);
});
