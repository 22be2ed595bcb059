/** What the renderer's buttons say, in English; another language has the same names. */

export const ENGLISH = {
  copy: "Copy",
  copied: "Copied",
  copyFailed: "Selected, not copied",
  copyTable: "Copy table",
  wrap: "Wrap lines",
  /** What a checkbox in a list is called. */
  task: "Task",
  footnotes: "Footnotes",
  backToText: "Back to the text",
};

/** @typedef {typeof ENGLISH} Words */
