/** Files that are dropped or pasted anywhere on the page. */

import { words } from "../words/index.js";
import { element } from "./element.js";

/**
 * Take files from everywhere.
 *
 * @param {(files: File[]) => void} take
 */
export function takeFiles(take) {
  const veil = element("aside", { className: "drop", hidden: true }, element("p", {}, words.writing.drop));
  document.body.append(veil);

  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event.dataTransfer) && !isCovered()) veil.hidden = false;
  });
  // From then on the veil is all that the pointer is over, so it alone can be left.
  veil.addEventListener("dragleave", () => (veil.hidden = true));
  // A drag that ended elsewhere without a word: during one there are no such events.
  veil.addEventListener("pointermove", () => (veil.hidden = true));
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer || !hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = isCovered() ? "none" : "copy";
  });
  document.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!hasFiles(event.dataTransfer)) return;
    // Else the browser leaves the page to open the file.
    event.preventDefault();
    if (!isCovered()) take([...(event.dataTransfer?.files ?? [])]);
  });
  document.addEventListener("paste", (event) => {
    const files = pasted(event.clipboardData);
    if (files.length === 0 || isCovered()) return;
    event.preventDefault();
    take(files);
  });
}

/** @param {DataTransfer | null} data */
function hasFiles(data) {
  return data?.types.includes("Files") ?? false;
}

/**
 * The files that are meant: office programs put a picture beside the text that they copy.
 *
 * @param {DataTransfer | null} data
 */
function pasted(data) {
  const files = [...(data?.files ?? [])];
  const picture = files.every(({ type }) => type.startsWith("image/"));
  return picture && data?.types.includes("text/plain") ? [] : files;
}

/** Whether a dialog lies over the page. */
function isCovered() {
  return document.querySelector(":modal") !== null;
}
