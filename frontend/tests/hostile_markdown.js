/**
 * Whether hostile Markdown does what it wants: hostile_markdown.json names for each text what must not come of it.
 *
 * What must not run or be fetched is seen by who drives the browser; everything else here, in the DOM.
 */

import { linearFault } from "./linear.js";
import { cut, painted, render, units, untidyText } from "./spec_dom.js";
import { loadPageStyles } from "./styles.js";

/** @typedef {{class: string, input: string, must_not: string[]}} Vector */

/** @type {Vector[]} */
export const VECTORS = await (await fetch("hostile_markdown.json")).json();

/** Where the texts say that they may be cut. */
const CUT = "␞";

/** What concerns the server, or is measured. */
const ELSEWHERE = [
  ...["exec", "net", "sse-frame-split", "tokenised-as-control-token"],
  ...["slow-render", "stack-overflow", "layout-break"],
];

const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;

const ELEMENTS = new Set(
  (
    "a blockquote br button code del div em figcaption figure h1 h2 h3 h4 h5 h6 hr input li ol p pre section span " +
    "strong sup table tbody td th thead tr ul annotation math merror mfrac mi mn mo mover mpadded mphantom mroot mrow " +
    "ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics"
  ).split(" "),
);
const ATTRIBUTES =
  /^(align|aria-[a-z]+|checked|class|data-(end|host|src)|dir|disabled|href|rel|start|tabindex|target|title|type)$/;

/**
 * Say what in the DOM comes neither from Markdown nor from the renderer.
 *
 * @param {Element} root
 */
function foreign(root) {
  return [...root.querySelectorAll("*")].flatMap((element) => {
    if (!ELEMENTS.has(element.localName)) return [`element:${element.localName}`];
    if (element.localName === "input" && element.getAttribute("type") !== "checkbox") return ["element:input"];
    return [...element.attributes].flatMap(({ name, value }) => {
      if (element instanceof MathMLElement && name !== "style" && !/^(on|href|src|id)/.test(name)) return [];
      if (name === "class") return value.split(" ").every((word) => word.startsWith("md-")) ? [] : [`class:${value}`];
      return ATTRIBUTES.test(name) ? [] : [`attr:${name}`];
    });
  });
}

/**
 * Say whether the DOM has what must not be.
 *
 * @param {string} name as in hostile_markdown.json
 * @param {HTMLElement} root
 * @param {string} input
 * @returns {boolean}
 */
function has(name, root, input) {
  const [kind, what = ""] = name.split(":");
  const all = [...root.querySelectorAll("*")];
  const links = [...root.querySelectorAll(/** @type {"a"} */ ("a[href]"))];
  switch (kind) {
    case "element":
      return root.querySelector(what) !== null;
    case "attr": {
      if (what === "class-from-content")
        return all.some(({ classList }) => [...classList].some((name) => !name.startsWith("md-")));
      if (what === "data-*") return all.some((element) => element.hasAttribute("data-role"));
      const pattern = new RegExp(`^${what.replace("*", ".*")}$`);
      return all.some(({ attributes }) => [...attributes].some(({ name: own }) => pattern.test(own)));
    }
    case "href-scheme":
      return all.some((element) =>
        [...element.attributes].some(({ value }) => URL.parse(value, document.baseURI)?.protocol === `${what}:`),
      );
    case "id-or-name-from-content":
      return all.some((element) => element.id || element.hasAttribute("name"));
    case "same-origin-looking-link-to-foreign-host":
      return links.some((link) => link.host !== location.host && link.dataset.host !== link.host);
    case "missing-rel-noopener-noreferrer":
      return links.some(({ rel, target }) => target !== "_blank" || rel !== "noopener noreferrer");
    case "referrer-leak":
      return links.some(({ relList }) => !relList.contains("noreferrer"));
    case "overlay":
      return all.some((element) => !["static", "relative"].includes(getComputedStyle(element).position));
    case "ui-swallowed":
      return root.nextElementSibling?.id !== "after" || root.contains(document.querySelector("#after"));
    case "text-lost":
      return !lettersOf(root.textContent).includes(lettersOf(input));
    case "invisible-char-copied":
      return INVISIBLE.test(root.textContent);
    case "rendered-as-role":
      return root.querySelector("[role], [data-role]") !== null || has("text-lost", root, input);
    default:
      throw new Error(`nobody knows how to see ${name}`);
  }
}

/** @param {string} text */
const lettersOf = (text) => text.replace(/[\s\u2028\u2029]/g, "").replace(/\0/g, "\ufffd");

/**
 * Say which of the things that must not be are there.
 *
 * @param {HTMLElement} root in the document, before the element `after`
 * @param {Vector} vector
 * @param {boolean} [finished]
 */
function violations(root, { input, must_not }, finished = true) {
  const text = input.replaceAll(CUT, "");
  const onlyAtTheEnd = ["text-lost", "rendered-as-role"];
  return must_not.filter(
    (name) =>
      !ELSEWHERE.includes(name) && (finished || !onlyAtTheEnd.includes(name)) && has(name, root, text),
  );
}

/** Return an empty element in the document, and nothing else there but a sentinel after it. */
function stage() {
  const root = document.createElement("div");
  const after = document.createElement("button");
  after.id = "after";
  document.body.replaceChildren(root, after);
  return root;
}

/**
 * Return the ways in which a vector arrives: whole, cut where it says, character by character, cut at every place; the
 * long ones in a few pieces.
 *
 * @param {Vector} vector
 */
function* ways({ input }) {
  const text = input.replaceAll(CUT, "");
  yield [text];
  yield input.split(CUT);
  if (text.length > 1000) {
    for (const part of [1, 2, 3]) yield cut(text, [Math.floor((text.length * part) / 4) + part]);
    yield text.match(/[^]{1,1500}/g) ?? [];
  } else {
    yield units(text);
    for (let place = 1; place < text.length; place += 1) yield cut(text, [place]);
  }
}

/**
 * Render every vector in every way and return what was wrong.
 *
 * @returns {Promise<string[]>}
 */
export async function faults() {
  /** @type {string[]} */
  const found = [];
  document.addEventListener("securitypolicyviolation", ({ blockedURI }) => {
    found.push(`the page's policy had to refuse ${blockedURI}`);
  });
  for (const vector of VECTORS) {
    for (const pieces of ways(vector)) {
      const note = (/** @type {string} */ what) => {
        found.push(`${vector.class}: ${what}, cut as ${JSON.stringify(pieces).slice(0, 300)}`);
      };
      const root = stage();
      const check = (/** @type {boolean} */ finished) => {
        for (const what of [...violations(root, vector, finished), ...foreign(root)]) note(what);
      };
      try {
        const long = vector.input.length > 1000;
        render(pieces, { root, drawn: long ? () => {} : () => check(false) });
        check(true);
        const untidy = untidyText(root);
        if (untidy) note(untidy);
      } catch (error) {
        note(String(error));
      }
      if (found.length > 20) return found;
    }
  }
  await requestsAreOut();
  if ("__pwned" in window) found.push("something ran");
  return found;
}

/**
 * Put every vector into the document as a naive renderer does, and return what that violates, by class.
 *
 * @returns {Promise<Record<string, string[]>>}
 */
export async function naiveViolations() {
  /** @type {Record<string, string[]>} */
  const found = {};
  for (const vector of VECTORS) {
    const root = stage();
    root.innerHTML = naive(vector.input.replaceAll(CUT, ""));
    found[vector.class] = violations(root, vector);
  }
  await requestsAreOut();
  return found;
}

/** @param {string} markdown */
function naive(markdown) {
  return markdown
    .replace(/(```|~~~)([^\n]*)\n([^]*?)\1/g, '<pre><code class="$2">$3</code></pre>')
    .replace(/!\[([^\]]*)\]\(<?([^)]*?)>?\)/g, '<img alt="$1" src="$2">')
    .replace(/\[([^\]]*)\]\(<?([^)]*?)>?\)/g, '<a href="$2">$1</a>')
    .replace(/\[click\]\[r\]([^]*?)\[r\]: (\S+)/, '<a href="$2">click</a>$1');
}

/** Resolve when the browser has sent what it was asked for until now. */
async function requestsAreOut() {
  const last = new Image();
  last.src = "../favicon.svg";
  await last.decode();
  await fetch("../favicon.svg");
}

/**
 * Return how much wider than its place each vector is drawn, in CSS pixels, with the page's own styles.
 *
 * @returns {Promise<[name: string, excess: number][]>}
 */
export async function excessWidths() {
  await loadPageStyles();
  /** @type {[string, number][]} */
  const excess = [];
  for (const vector of VECTORS) {
    const root = stage();
    root.style.inlineSize = "20rem";
    render([vector.input], { root });
    await painted();
    excess.push([vector.class, root.scrollWidth - root.clientWidth]);
  }
  return excess;
}

/**
 * Return for each vector that shall be slow, and is, what was measured: the time for it may grow with its length only.
 *
 * @returns {[name: string, measured: string][]}
 */
export function slowBombs() {
  const bombs = VECTORS.filter(({ must_not }) => must_not.includes("slow-render"));
  const draw = (/** @type {string} */ text) => render([text], { root: stage() });
  return bombs.flatMap(({ class: name, input }) => {
    const fourfold = Array.from({ length: 4 }, () => input).join(input.includes("\n") ? "\n\n" : "");
    const fault = linearFault(draw, fourfold, input);
    return fault ? [/** @type {[string, string]} */ ([name, fault])] : [];
  });
}
