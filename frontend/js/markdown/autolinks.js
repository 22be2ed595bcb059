/**
 * Addresses in plain text become links. Source: GFM 0.29, section 6.9 "Autolinks (extension)", without FTP. As in GitHub's
 * own implementation, an address with a scheme needs no dot in its host. Other than there, an address ends where
 * Chinese, Japanese or Korean begins: that is the sentence around it, and in a host it would lead elsewhere.
 *
 * @typedef {import("./inlines.js").Inline} Inline
 */

import { CJK, CJK_CLASS } from "./cjk.js";
import { safeLink } from "./links.js";

// With the flags `i` and `u` together, an "s" would match the long s as well.
const ADDRESS = new RegExp(`(?:[hH][tT]{2}[pP][sS]?://|[wW]{3}\\.)[^\\s<${CJK_CLASS}]+`, "gu");
const DOMAIN = /^(?:https?:\/\/|(?=www\.))(?=[\p{L}\p{N}])((?:[\p{L}\p{N}_-]+\.)*[\p{L}\p{N}_-]+)/iu;
const LOCAL_PART = /[\w.+-]/;
const MAIL_DOMAIN = /^[\w-]+(?:\.[\w-]+)+/;

/**
 * @param {Inline[]} nodes merged: no text follows a text
 * @returns {Inline[]}
 */
export function withAutolinks(nodes) {
  if (!nodes.some((node) => node.type === "text" && /:\/\/|www\.|@/i.test(node.text))) return nodes;
  return nodes.flatMap((node) => (node.type === "text" ? split(node) : [node]));
}

/** @param {import("./inlines.js").TextNode} node */
function split({ text, at }) {
  /** @type {Inline[]} */
  const nodes = [];
  let done = 0;
  for (const { start, end, href } of addresses(text)) {
    if (start < done) continue;
    if (start > done) nodes.push({ type: "text", text: text.slice(done, start), at: at < 0 ? -1 : at + done });
    const shown = text.slice(start, end);
    nodes.push({ type: "link", href, title: null, children: [{ type: "text", text: shown, at: -1 }] });
    done = end;
  }
  if (done < text.length) nodes.push({ type: "text", text: text.slice(done), at: at < 0 ? -1 : at + done });
  return nodes;
}

/** @param {string} text */
function addresses(text) {
  const found = [];
  for (const { 0: run, index } of text.matchAll(ADDRESS)) {
    const before = text[index - 1] ?? " ";
    const url = trimmed(run);
    const isWww = /^www\./i.test(run);
    const mayBegin = CJK.test(before) || (isWww ? /[\s*_~(]/ : /[^\p{L}\p{N}]/u).test(before);
    if (!mayBegin) continue;
    const href = (isWww ? "http://" : "") + url;
    if (hasDomain(url, isWww ? 2 : 1) && safeLink(href)) found.push({ start: index, end: index + url.length, href });
  }
  for (let sign = text.indexOf("@"); sign >= 0; sign = text.indexOf("@", sign + 1)) {
    let start = sign;
    while (start > 0 && LOCAL_PART.test(text[start - 1] ?? "")) start -= 1;
    const domain = MAIL_DOMAIN.exec(text.slice(sign + 1, sign + 256))?.[0].replace(/\.+$/, "") ?? "";
    const end = sign + 1 + domain.length;
    if (start === sign || domain === "" || /[-_]$/.test(domain) || text[start - 1] === "/") continue;
    found.push({ start, end, href: `mailto:${text.slice(start, end)}` });
  }
  return found.sort((a, b) => a.start - b.start);
}

/**
 * Without what is more likely the sentence's: its last marks, a parenthesis that was opened before, an entity.
 *
 * @param {string} url
 */
function trimmed(url) {
  let end = url.length;
  let surplus = count(url, ")") - count(url, "(");
  for (;;) {
    const last = url[end - 1] ?? "";
    const entity = last === ";" ? /&[a-z0-9]+;$/i.exec(url.slice(Math.max(0, end - 34), end)) : null;
    if (entity) end -= entity[0].length;
    else if (/[?!.,:*_~'";\xab\xbb\u2010-\u2027\u2030-\u205e]/.test(last)) end -= 1;
    else if (last === ")" && surplus > 0) {
      end -= 1;
      surplus -= 1;
    } else return url.slice(0, end);
  }
}

/**
 * At least so many parts, and no underscore in the last two.
 *
 * @param {string} url
 * @param {number} least
 */
function hasDomain(url, least) {
  const parts = DOMAIN.exec(url)?.[1]?.split(".") ?? [];
  return parts.length >= least && !parts.slice(-2).some((part) => part.includes("_"));
}

/** @param {string} text @param {string} character */
function count(text, character) {
  return text.split(character).length - 1;
}
