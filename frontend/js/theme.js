/**
 * The theme: the system's, unless the reader has chosen one, which is kept.
 *
 * What was kept is taken by `chosen_theme.js`, before this module is there; it tells where.
 */

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {readonly Theme[]} */
const THEMES = ["system", "light", "dark"];
const { dataset } = document.documentElement;

/** The theme in use. */
export let theme = /** @type {Theme} */ (dataset.theme ?? "system");
show();

/** Take the next theme, and keep it where the browser allows that. */
export function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  show();
  try {
    if (dataset.themeKey) localStorage.setItem(dataset.themeKey, theme);
  } catch (error) {
    // Storage is full, or switched off: then it is for this page only.
    if (!(error instanceof DOMException)) throw error;
  }
}

function show() {
  dataset.theme = theme;
  // The browser's own bar around the page.
  for (const bar of /** @type {NodeListOf<HTMLMetaElement>} */ (document.querySelectorAll("meta[data-bar]"))) {
    const isWanted = theme === bar.dataset.bar;
    bar.media = theme === "system" ? `(prefers-color-scheme: ${bar.dataset.bar})` : isWanted ? "all" : "not all";
  }
}
