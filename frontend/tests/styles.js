import { loadStyles } from "../js/lazy.js";

/** Load the styles that the page shows messages with: without them nothing has its height. */
export async function loadPageStyles() {
  const page = new DOMParser().parseFromString(await (await fetch("../index.html")).text(), "text/html");
  const links = [...page.querySelectorAll("link[rel=stylesheet]")];
  const names = links.map((link) => link.getAttribute("href")?.replace("styles/", "") ?? "");
  // The order of the layers is told by the first of them.
  for (const name of [...names, "markdown.css"]) await loadStyles(name);
}
