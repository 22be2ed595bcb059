/**
 * The theme: the system's, unless the reader has chosen one, which is kept.
 *
 * index.html runs this module before the others, so that the page is hardly ever seen in another theme than its own.
 */

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {readonly Theme[]} */
const THEMES = ["system", "light", "dark"];
// Several pages of one host share its storage.
const KEY = `burble theme ${new URL("..", import.meta.url).pathname}`;

/** The theme in use. */
export let theme = kept();
show();

/** Take the next theme, and keep it where the browser allows that. */
export function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  show();
  try {
    localStorage.setItem(KEY, theme);
  } catch (error) {
    // Storage is full, or switched off: then it is for this page only.
    if (!(error instanceof DOMException)) throw error;
  }
}

/** @returns {Theme} */
function kept() {
  try {
    const name = localStorage.getItem(KEY);
    return THEMES.find((known) => known === name) ?? "system";
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return "system";
  }
}

function show() {
  document.documentElement.dataset.theme = theme;
  // The browser's own bar around the page.
  for (const bar of /** @type {NodeListOf<HTMLMetaElement>} */ (document.querySelectorAll("meta[data-bar]"))) {
    const isWanted = theme === bar.dataset.bar;
    bar.media = theme === "system" ? `(prefers-color-scheme: ${bar.dataset.bar})` : isWanted ? "all" : "not all";
  }
}
