import { newAnswer } from "../js/answer.js";

/**
 * An answer that has just been asked for, with these changes.
 *
 * @param {Partial<import("../js/answer.js").Answer>} [changes]
 */
export function anAnswer(changes = {}) {
  return { ...newAnswer({ id: "a", conversation: "c", parent: null, think: false }), ...changes };
}
