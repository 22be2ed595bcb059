/**
 * Takes the theme that the reader has chosen, before the first paint: else the page would be seen in another one first.
 *
 * So this is no module, and lies with the style sheets, which hold back the first paint as well. `js/theme.js` does
 * the rest.
 */
try {
  // Several pages of one host share its storage.
  const name = localStorage.getItem(`burble theme ${new URL(".", document.baseURI).pathname}`);
  document.documentElement.dataset.theme = name === "light" || name === "dark" ? name : "system";
} catch (error) {
  // Storage is switched off.
  if (!(error instanceof DOMException)) throw error;
}
