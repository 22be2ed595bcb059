/**
 * Copies text, and the same as rich text beside it, in a secure context and by plain http alike.
 *
 * The Clipboard API is missing by plain http; there the old `copy` command still works, whose event may say what is
 * copied. To be called from the handler of a click or a key.
 */

/**
 * Copy; return whether that was possible.
 *
 * @param {string} text
 * @param {string} [html] the same, formatted: for programs that take rich text
 * @returns {Promise<boolean>}
 */
export async function copy(text, html) {
  try {
    // Without ClipboardItem the interface takes plain text only, and the command takes both.
    if (navigator.clipboard && (html === undefined || window.ClipboardItem)) return await copyByInterface(text, html);
  } catch (error) {
    // NotAllowedError: the reader or the frame's owner said no, or the page has no focus. The command may do all the same.
    if (!(error instanceof DOMException)) throw error;
  }
  return copyByCommand(text, html);
}

/**
 * @param {string} text
 * @param {string} [html]
 */
async function copyByInterface(text, html) {
  if (html === undefined) {
    await navigator.clipboard.writeText(text);
  } else {
    const blob = (/** @type {string} */ data, /** @type {string} */ type) => new Blob([data], { type });
    const formats = { "text/plain": blob(text, "text/plain"), "text/html": blob(html, "text/html") };
    await navigator.clipboard.write([new ClipboardItem(formats)]);
  }
  return true;
}

/**
 * @param {string} text
 * @param {string} [html]
 */
function copyByCommand(text, html) {
  let copied = false;
  const write = (/** @type {ClipboardEvent} */ event) => {
    if (!event.clipboardData) return;
    event.clipboardData.setData("text/plain", text);
    if (html !== undefined) event.clipboardData.setData("text/html", html);
    event.preventDefault();
    event.stopPropagation();
    copied = true;
  };
  document.addEventListener("copy", write, { capture: true });
  const unselect = selectSomething();
  try {
    return document.execCommand("copy") && copied;
  } finally {
    unselect();
    document.removeEventListener("copy", write, { capture: true });
  }
}

/** Where nothing is selected, Safari copies nothing and says so to nobody. Returns what undoes it. */
function selectSomething() {
  const selection = getSelection();
  if (!selection?.isCollapsed) return () => {};
  const range = selection.rangeCount > 0 ? selection.getRangeAt(0) : null;
  const something = document.createElement("span");
  something.className = "visually-hidden";
  something.textContent = "\u00A0";
  document.body.append(something);
  selection.selectAllChildren(something);
  return () => {
    selection.removeAllRanges();
    if (range) selection.addRange(range);
    something.remove();
  };
}
