/** Chinese, Japanese and Korean: text that has no spaces between its words, and punctuation as wide as its letters. */

/** For a class of characters in a pattern with the flag `u`: letters, punctuation and forms as wide as these. */
export const CJK_CLASS =
  "\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Hangul}\\p{sc=Bopomofo}\\p{sc=Yi}" +
  "\\u3000-\\u30ff\\u3190-\\u33ff\\ufe10-\\ufe1f\\ufe30-\\ufe6f\\uff00-\\uffef\\u{e0100}-\\u{e01ef}";

export const CJK = new RegExp(`[${CJK_CLASS}]`, "u");
