/**
 * The words of the page, in the reader's language.
 *
 * English is at hand at once; any other language is loaded when it is wanted.
 */

import * as english from "./en.js";

/** @typedef {typeof english} Words */

/** @type {Record<string, () => Promise<Words>>} */
const OTHERS = { ar: () => import("./ar.js") };

/** How long a language is waited for. */
const PATIENCE_MS = 3000;

/** The words in use: to be read when they are shown, not kept. @type {Words} */
export let words = english;

/**
 * Take the first of these languages that there are words for, and mark the page with it.
 *
 * @param {readonly string[]} languages BCP 47 tags, the most wanted first
 */
export async function chooseWords(languages) {
  const names = languages.map((language) => language.split("-")[0] ?? "");
  const chosen = names.find((name) => name === english.language || name in OTHERS);
  words = await load(chosen ?? "");
  document.documentElement.lang = words.language;
  document.documentElement.dir = words.direction;
  if (words !== english) translatePage();
}

/**
 * A module that does not arrive, or not soon, is no reason not to chat.
 *
 * @param {string} language
 */
async function load(language) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, english));
  try {
    return (await Promise.race([OTHERS[language]?.(), late])) ?? english;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return english;
  }
}

/** Put the words into what index.html says in English: `data-words` holds pairs of a key and, after "@", an attribute. */
function translatePage() {
  for (const element of document.querySelectorAll("[data-words]")) {
    for (const name of element.getAttribute("data-words")?.split(" ") ?? []) {
      const [key = "", attribute] = name.split("@");
      const text = words.page[/** @type {keyof Words["page"]} */ (key)];
      if (attribute) element.setAttribute(attribute, text);
      else element.textContent = text;
    }
  }
}
