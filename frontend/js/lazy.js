/** Modules and styles that are loaded when they are wanted, however long that takes. */

import { backoff, pause } from "./retry.js";

/** When to try again to load what did not arrive, in ms. */
const TIMES = { base: 500, cap: 15_000 };

/**
 * Return a function that loads something when it is first called, and tries until it is there.
 *
 * @template Loaded
 * @template [Made=Loaded]
 * @param {() => Promise<Loaded>} load imports it
 * @param {(loaded: Loaded) => Made} [make] what to make of it, once; if that fails, it is not tried again
 * @returns {() => Promise<Made>}
 */
export function lazily(load, make = (loaded) => /** @type {any} */ (loaded)) {
  /** @type {Promise<Made> | null} */
  let loading = null;
  return () => (loading ??= persist(load).then(make));
}

/**
 * @template Module
 * @param {() => Promise<Module>} load
 */
async function persist(load) {
  for (let failures = 0; ; failures += 1) {
    try {
      return await load();
    } catch (error) {
      // What did not arrive; a module that fails by itself fails otherwise.
      if (!(error instanceof TypeError)) throw error;
      await pause(backoff(failures, TIMES));
    }
  }
}

/** Those that are loaded, or are being. @type {Map<string, Promise<unknown>>} */
const styles = new Map();

/**
 * Load a style sheet, once; rejects as the import of a module does.
 *
 * @param {string} name of a file in `styles/`
 * @returns {Promise<unknown>}
 */
export function loadStyles(name) {
  const loading = styles.get(name) ?? link(name);
  styles.set(name, loading);
  return loading;
}

/** @param {string} name */
function link(name) {
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = new URL(`../styles/${name}`, import.meta.url).href;
    link.onload = resolve;
    link.onerror = () => {
      link.remove();
      styles.delete(name);
      reject(new TypeError(`${name} did not arrive`));
    };
    document.head.append(link);
  });
}
