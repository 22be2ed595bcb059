/**
 * Takes the theme that the reader has chosen, before the first paint: else the page would be seen in another one first.
 *
 * So this is no module, and holds back the first paint as the style sheets do. `theme.js` does the rest.
 */
try {
  const { dataset } = document.documentElement;
  // Several pages of one host share its storage.
  dataset.themeKey = `burble theme ${new URL(".", document.baseURI).pathname}`;
  const name = localStorage.getItem(dataset.themeKey);
  dataset.theme = name === "light" || name === "dark" ? name : "system";
} catch (error) {
  // Storage is switched off.
  if (!(error instanceof DOMException)) throw error;
}
