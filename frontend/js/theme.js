/**
 * The theme: the system's, unless the reader has chosen one, which is kept.
 *
 * What was kept is taken by `styles/chosen_theme.js`, before this module is there.
 */

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {readonly Theme[]} */
const THEMES = ["system", "light", "dark"];
const KEY = `burble theme ${new URL("..", import.meta.url).pathname}`;

/** The theme in use. */
export let theme = /** @type {Theme} */ (document.documentElement.dataset.theme ?? "system");
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

function show() {
  document.documentElement.dataset.theme = theme;
  // The browser's own bar around the page.
  for (const bar of /** @type {NodeListOf<HTMLMetaElement>} */ (document.querySelectorAll("meta[data-bar]"))) {
    const isWanted = theme === bar.dataset.bar;
    bar.media = theme === "system" ? `(prefers-color-scheme: ${bar.dataset.bar})` : isWanted ? "all" : "not all";
  }
}
