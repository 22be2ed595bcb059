/** The words of the dialog that asks for a key: loaded with it, in the language of the page. */

/** @typedef {typeof import("./en.js")} AccessWords */

/** @type {Record<string, () => Promise<AccessWords>>} */
const LANGUAGES = { en: () => import("./en.js"), ar: () => import("./ar.js") };

/**
 * Rejects with a TypeError where they do not arrive.
 *
 * @param {string} language of the page
 */
export async function loadWords(language) {
  const words = await LANGUAGES[language]?.();
  if (!words) throw new Error(`no words for ${language}`);
  return words;
}
