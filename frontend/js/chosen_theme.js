/**
 * Takes the theme that the reader has chosen, and whether the list of conversations stands beside the chat, before the
 * first paint: else the page would be seen in another one first.
 *
 * So this is no module, and holds back the first paint as the style sheets do. `theme.js` and `views/list.js` do the rest.
 */
try {
  const { dataset } = document.documentElement;
  // Several pages of one host share its storage; a page and its copies (`HOME` in api.js) have the same.
  const place = new URL(".", document.baseURI).pathname.replace(/offline\/[0-9a-f]{40}\/$/, "");
  dataset.themeKey = `burble theme ${place}`;
  dataset.listKey = `burble list ${place}`;
  const name = localStorage.getItem(dataset.themeKey);
  dataset.theme = name === "light" || name === "dark" ? name : "system";
  dataset.list = localStorage.getItem(dataset.listKey) === "hidden" ? "hidden" : "beside";
} catch (error) {
  // Storage is switched off.
  if (!(error instanceof DOMException)) throw error;
}
