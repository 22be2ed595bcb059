/** Tells linear time from quadratic, on a machine that does much else. */

import { clock } from "./spec_dom.js";

/** What takes less, in ms, is never looked at again. */
const FAST_MS = 20;
const PARTS = 4;
/** Linear work takes as long in one piece as in four; quadratic work takes four times as long. */
const LINEAR = 2.2;
const TRIES = 10;

/**
 * Return null if work on a text takes time in proportion to its length, or else what was measured.
 *
 * It is compared with as much work on parts, one after the other, so that a busy machine interrupts both alike; of both
 * the least of some tries counts.
 *
 * @param {(text: string) => unknown} work
 * @param {string} whole
 * @param {string} part a fourth of it
 * @returns {string | null}
 */
export function linearFault(work, whole, part) {
  let [all, apart] = [Infinity, Infinity];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    all = Math.min(all, timeOf(() => work(whole)));
    if (all < FAST_MS) return null;
    apart = Math.min(apart, timeOf(() => Array.from({ length: PARTS }, () => work(part))));
    if (all < LINEAR * apart) return null;
  }
  return `${apart} ms for ${PARTS} × ${part.length} characters, ${all} ms for ${whole.length} at once`;
}

/** @param {() => unknown} work */
function timeOf(work) {
  const start = clock();
  work();
  return clock() - start;
}
