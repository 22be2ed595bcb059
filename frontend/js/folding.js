/**
 * What is the same to a reader who searches: letters without their case and accents, and places of such text in the
 * original.
 *
 * Folded are case and accents (NFKD without its marks, so also the forms of Arabic letters and of full width), letters
 * that are one and the same to many (ß and ss, ı and i, ى and ي), typographic quotes and dashes, runs of white space
 * (one space). The marks of emphasis and code, and what is not seen, are left out: so text is found as it is read.
 * Vowel signs of Indic scripts and the voicing marks of Japanese are no accents: they stay.
 */

/** @type {Record<string, string>} */
const ALIKE = {
  ...{ ß: "ss", æ: "ae", œ: "oe", ø: "o", ł: "l", đ: "d", ı: "i", ς: "σ" },
  ...{ "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه" },
  ...{ "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "–": "-", "—": "-" },
};

const WITH_ALIKE = new RegExp(`[${Object.keys(ALIKE).join("")}]`, "g");

/** The marks of Latin, Greek, Cyrillic, Hebrew and Arabic letters, and what is not seen. */
const DROPPED = new RegExp(
  "[*`\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670" +
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u2060\u20d0-\u20ff\ufe00-\ufe0f\ufeff]+",
  "g",
);

/** What separates, and is no space after NFKD. */
const BREAKS = /[\t-\r\u1680\u2028\u2029]+/g;

const NOT_ASCII = /[^\x00-\x7f]/;

/** What stays as it is, and has no mark after it. */
const PLAIN = /(?:[a-z0-9,.](?![^\x00-\x7f]))*/y;

/** What is looked at more closely, in UTF-16 code units. */
const PIECE = 200;

/** How many units are kept. */
const MOST_UNITS = 10_000;

/** What is folded as one where places are wanted: marks belong to what is before them. */
const UNIT = /\P{M}\p{M}*|\p{M}+/suy;

/**
 * Fold a text.
 *
 * @param {string} text
 */
export function fold(text) {
  const letters = foldLetters(text);
  return letters.includes("  ") ? letters.replace(/ {2,}/g, " ") : letters;
}

/** @param {string} text */
function foldLetters(text) {
  const plain = NOT_ASCII.test(text)
    ? text
        .normalize("NFKD")
        .toLowerCase()
        .replace(WITH_ALIKE, (letter) => ALIKE[letter] ?? "")
    : text.toLowerCase();
  return plain.replace(DROPPED, "").replace(BREAKS, " ");
}

/**
 * Fold a text, and keep where each piece of it was.
 *
 * @param {string} text
 * @returns {{folded: string, starts: number[], ends: number[]}} for each UTF-16 code unit of `folded`, where what it was
 *   made of begins and ends in the text
 */
export function foldWithPlaces(text) {
  let folded = "";
  /** @type {number[]} */
  const starts = [];
  /** @type {number[]} */
  const ends = [];
  for (let start = 0; start < text.length; ) {
    // Most of most texts: what does for all letters takes many times as long.
    PLAIN.lastIndex = start;
    const plain = PLAIN.exec(text)?.[0] ?? "";
    for (const end = start + plain.length; start < end; start += 1) {
      starts.push(start);
      ends.push(start + 1);
    }
    folded += plain;
    if (start === text.length) break;
    const end = unitEnd(text, start);
    for (const letter of foldUnit(text.slice(start, end))) {
      if (letter === " " && folded.endsWith(" ")) {
        ends[ends.length - 1] = end;
      } else {
        folded += letter;
        starts.push(start);
        ends.push(end);
      }
    }
    start = end;
  }
  return { folded, starts, ends };
}

/** @type {Map<string, string[]>} */
const units = new Map();

/**
 * The same few hundred make a text, so they are kept: that takes a tenth of the time.
 *
 * @param {string} unit
 */
function foldUnit(unit) {
  let letters = units.get(unit);
  if (!letters) {
    if (units.size >= MOST_UNITS) units.clear();
    units.set(unit, (letters = foldLetters(unit).split("")));
  }
  return letters;
}

/**
 * Where what is folded as one with this ends.
 *
 * @param {string} text
 * @param {number} start
 */
function unitEnd(text, start) {
  // Before U+0300 there are no marks. The end is NaN, and no mark either.
  if (text.charCodeAt(start) < 0x300 && !(text.charCodeAt(start + 1) >= 0x300)) return start + 1;
  UNIT.lastIndex = start;
  // A lone half of a pair is a character, too.
  return UNIT.test(text) ? UNIT.lastIndex : start + 1;
}

/**
 * Where in a text is what is somewhere in its folded form: near enough to begin an excerpt there, and as fast as folding.
 *
 * @param {string} text
 * @param {number} at in UTF-16 code units of the folded text
 */
export function originOf(text, at) {
  let before = 0;
  let endsInSpace = false;
  for (let start = 0; start < text.length; start += PIECE) {
    const piece = text.slice(start, start + PIECE);
    const folded = fold(piece);
    // A space that two pieces share is one.
    if (endsInSpace && folded.startsWith(" ")) before -= 1;
    if (before + folded.length > at) return start + (foldWithPlaces(piece).starts[at - before] ?? 0);
    before += folded.length;
    endsInSpace = folded === "" ? endsInSpace : folded.endsWith(" ");
  }
  return text.length;
}

/**
 * The words to search for, folded: what is between quotes, closed or not yet, is one. A word that is part of another one
 * is not there: who finds that finds both.
 *
 * @param {string} query
 */
export function wordsOf(query) {
  /** @type {string[]} */
  const words = [];
  for (const [, phrase, word] of fold(query).matchAll(/"([^"]*)"?|([^\s"]+)/g)) {
    const wanted = (phrase ?? word ?? "").trim();
    if (wanted !== "") words.push(wanted);
  }
  return words.filter((word, index) => !words.some((other, at) => at !== index && other.includes(word) && (other !== word || at < index)));
}

/**
 * Where words are in a text that is as long as it is shown.
 *
 * @param {string} text
 * @param {readonly string[]} words folded
 * @param {number} [most] how many places to look for
 * @returns {[start: number, end: number][]} in order, apart from each other
 */
export function placesOf(text, words, most = Infinity) {
  const { folded, starts, ends } = foldWithPlaces(text);
  /** @type {[number, number][]} */
  const places = [];
  for (const word of words) {
    for (let at = folded.indexOf(word), left = most; at >= 0 && left > 0; at = folded.indexOf(word, at + word.length), left -= 1)
      places.push([starts[at] ?? 0, ends[at + word.length - 1] ?? text.length]);
  }
  return joined(places).slice(0, most);
}

/** @param {[number, number][]} places */
function joined(places) {
  /** @type {[number, number][]} */
  const apart = [];
  for (const [start, end] of places.sort((a, b) => a[0] - b[0])) {
    const last = apart.at(-1);
    if (last && start < last[1]) last[1] = Math.max(last[1], end);
    else apart.push([start, end]);
  }
  return apart;
}
