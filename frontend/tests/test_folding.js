import { fold, foldWithPlaces, originOf, placesOf, wordsOf } from "../js/folding.js";
import { excerptOf } from "../js/search.js";
import { equal, ok, test } from "./harness.js";
import { linearFault } from "./linear.js";

const SAMPLES = [
  "The quick **brown** fox\n\n`jumps`\tover 3 lazy dogs. ",
  "Crème brûlée, E\u0301cole, STRASSE und Straße, ẞ, Ærø, Łódź",
  "İstanbul ve Isparta, ılık, I\u0307zmir",
  "Ёлка и Йод, ΟΔΥΣΣΕΥΣ, ὈΔΥΣΣΕΎΣ",
  "東京タワー、がんばる。ＡＢＣ　ｶﾞｷﾞ 한국어",
  "العَرَبِيَّةُ، أحمد، مَدْرَسـة، ﷺ، ﻻ",
  "שָׁלוֹם हिन्दी ภาษาไทย",
  "👩‍👩‍👧 ok 🙂\u{1F3FD} ﬁn ½ … “quoted” — dash\u00ad‑hyphen\u00a0space",
  "a *\n* b \r\n c\u2028d",
  "\ud83d lone \ude42 halves",
];

test("case and accents are the same, in every script", () => {
  for (const [one, other] of [
    ["CRÈME BRÛLÉE", "creme brulee"],
    ["E\u0301cole", "école"],
    ["Straße", "STRASSE"],
    ["STRAẞE", "strasse"],
    ["Łódź Ærø Œuvre", "lodz aero oeuvre"],
    ["Ёлка", "ёлка"],
    ["ёлка", "елка"],
    ["ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"],
    ["ＡＢＣ １２３", "abc 123"],
    ["ｶﾞ", "ガ"],
    ["ﬁn", "fin"],
    ["العَرَبِيَّة", "العربية"],
    ["أحمد", "احمد"],
    ["مـــدرسة", "مدرسه"],
    ["ﻻ", "لا"],
    ["על־ידי שָׁלוֹם", "על־ידי שלום"],
    ["İSTANBUL", "istanbul"],
    ["ISPARTA", "ısparta"],
    ["I\u0307zmir", "izmir"],
  ])
    equal([one, fold(one ?? "")], [one, fold(other ?? "")]);
});

test("a vowel sign is no accent, and neither is a voicing mark", () => {
  ok(fold("की") !== fold("का"));
  ok(fold("ก็") !== fold("กี"));
  ok(fold("か") !== fold("が"));
});

test("a Korean syllable that is still being written is part of the whole one", () => {
  ok(fold("한국").startsWith(fold("하")));
});

test("white space is one space, quotes and dashes are plain, marks of emphasis and code are left out", () => {
  equal(fold("one\r\n\r\n two\u00a0\u3000three\tfour"), "one two three four");
  equal(fold("“It’s” – 1—2"), `"it's" - 1-2`);
  equal(fold("un**believ**able `code` soft\u00adly zero\u200bwidth"), "unbelievable code softly zerowidth");
});

test("folding with places folds the same, and each place is what was folded", () => {
  for (const sample of [...SAMPLES, SAMPLES.join(" "), SAMPLES.join("")]) {
    const { folded, starts, ends } = foldWithPlaces(sample);
    equal(folded, fold(sample));
    equal([starts.length, ends.length], [folded.length, folded.length]);
    starts.forEach((start, at) => {
      const piece = fold(sample.slice(start, ends[at]));
      ok(piece.includes(folded.charAt(at)), `${JSON.stringify(piece)} for ${folded.charAt(at)} in ${sample}`);
    });
  }
});

test("a place in a folded text is found in the original, however far the two are apart", () => {
  for (const before of SAMPLES) {
    const text = `${before.repeat(40)} needle ${before}`;
    const origin = originOf(text, fold(text).indexOf("needle"));
    // Pieces are cut anywhere, also within a letter.
    ok(Math.abs(origin - text.indexOf("needle")) <= 10, `${origin} for ${text.indexOf("needle")} in ${before}`);
  }
});

test("places are whole characters of the original", () => {
  const at = (/** @type {string} */ text, /** @type {string} */ query) =>
    placesOf(text, wordsOf(query)).map(([start, end]) => text.slice(start, end));
  equal(at("Die Straße, die STRASSE", "strasse"), ["Straße", "STRASSE"]);
  equal(at("Straße", "s"), ["S", "ß"]);
  equal(at("E\u0301cole et e\u0301te\u0301", "e"), ["E\u0301", "e", "e", "e\u0301", "e\u0301"]);
  equal(at("قال مَدْرَسـةٌ كبيرة", "مدرسه"), ["مَدْرَسـةٌ"]);
  equal(at("東京タワーと東京駅", "東京"), ["東京", "東京"]);
  equal(at("un**believ**able", "unbelievable"), ["un**believ**able"]);
  equal(at("one\n\ntwo", '"one two"'), ["one\n\ntwo"]);
  equal(at("İstanbul", "istanbul"), ["İstanbul"]);
  equal(at("🙂👍🏽", "👍"), ["👍"]);
});

test("places that meet in a word are one", () => {
  equal(placesOf("abcdef", ["abcd", "cdef"]), [[0, 6]]);
  equal(placesOf("ab ab ab", ["ab"], 2), [
    [0, 2],
    [3, 5],
  ]);
});

test("a query is words and phrases", () => {
  equal(wordsOf("  two Words "), ["two", "words"]);
  equal(wordsOf('"an exact  phrase" word'), ["an exact phrase", "word"]);
  equal(wordsOf("“smart  quotes”"), ["smart quotes"]);
  equal(wordsOf('word "still being wr'), ["word", "still being wr"]);
  equal(wordsOf('" " ** ""'), []);
  equal(wordsOf("in finding in find"), ["finding"]);
  equal(wordsOf("東京 駅"), ["東京", "駅"]);
});

test("folding and making an excerpt take time in proportion to the text's length", () => {
  for (const piece of ["plain words and ", "**Ünïcödé** ", "한국어 ", "東京", "\u0301", " ", "\n", "*", "ß"]) {
    const make = (/** @type {number} */ length) => piece.repeat(length / piece.length);
    equal(linearFault(fold, make(400_000), make(100_000)), null);
    equal(linearFault((text) => excerptOf(`${text} needle`, ["needle"]), make(200_000), make(50_000)), null);
  }
});
