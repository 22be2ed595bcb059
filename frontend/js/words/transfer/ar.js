/** What the dialog that exports and imports says, in Arabic; see `en.js`. */

import { conversations, messages } from "../ar.js";

/**
 * @typedef {import("../../transfer/records.js").FileReason} FileReason
 * @typedef {import("../../transfer/records.js").ConversationReason} ConversationReason
 */

const numbers = new Intl.NumberFormat("ar");

export const dialog = {
  title: "الاستيراد والتصدير",
  exporting: "التصدير",
  json: "بصيغة JSON",
  jsonHint: "فيها كل شيء، ويمكن استيرادها من جديد",
  markdown: "بصيغة Markdown",
  markdownHint: "فيها الرسائل المعروضة، للقراءة",
  nothing: "لا توجد محادثة بعد.",
  importing: "الاستيراد",
  from: "ملف من Burble (بصيغة JSON)، أو ما يصدّره ChatGPT (ملف ZIP أو conversations.json) أو Open WebUI أو llama.cpp. ما هو هنا يبقى كما هو.",
  choose: "اختر ملفًا",
  drop: "أو أفلِته هنا",
  reading: "يُقرأ الملف…",
  refused: "ما لم يُستورد",
  failed: "لم ينجح ذلك. حاول مرة أخرى.",
  untitled: (/** @type {number} */ which) => `رقم ${numbers.format(which)} في الملف`,
};

/** @param {string} title */
export function exportOne(title) {
  return `تصدير «${title}»`;
}

/** @param {number} count */
export function all(count) {
  return `كل ما في هذا المتصفّح: ${conversations(count)}.`;
}

/** @param {string} name */
export function saved(name) {
  return `حُفظ باسم ${name}.`;
}

/** @param {number} newConversations @param {number} newMessages @param {number} known */
export function report(newConversations, newMessages, known) {
  const here = `كان هنا من قبل: ${conversations(known)}`;
  if (newMessages === 0 && known > 0) return `لا جديد. ${here}.`;
  if (newMessages === 0) return "لم يُستورد شيء.";
  const taken = `${newConversations === 0 ? "" : `${conversations(newConversations)}، `}${messages(newMessages)}`;
  return `استُورد: ${taken}.${known > 0 ? ` ${here}.` : ""}`;
}

/** @type {Record<FileReason, string>} */
export const files = {
  unreadable: "تتعذّر قراءة الملف.",
  tooLarge: `الملف أكبر من اللازم: يمكن استيراد ${numbers.format(200)} ميغابايت من النص على الأكثر في المرّة الواحدة.`,
  empty: "الملف فارغ.",
  notText: "هذا ليس ملف JSON ولا ملف ZIP.",
  notJson: "هذا ليس ملف JSON.",
  cutOff: "ينتهي الملف قبل أوانه. ربما لم يكتمل تنزيله.",
  tooDeep: "تداخُل أجزاء الملف أعمق من أن يكون محادثة.",
  zip: "لا محادثات في ملف ZIP هذا. في ما يصدّره ChatGPT تكون في conversations.json.",
  zipBroken: "يتعذّر هنا فكّ ضغط ملف ZIP. فُكّ ضغطه بنفسك، ثم اختر conversations.json.",
  unknown: "لا محادثات في هذا الملف، أو أنها بصيغة غير معروفة هنا.",
  newer: "أنشأ هذا الملفَ إصدارٌ أحدث من Burble. أعِد تحميل هذه الصفحة لتحصل على أحدث إصدار.",
  tooMany: `في هذا الملف أكثر من ${numbers.format(20_000)} محادثة.`,
  notWritten: "تعذّر على المتصفّح حفظه. ربما لا مكان فيه، أو أن هذه نافذة خاصة. لم يُستورد شيء.",
};

/** @type {Record<ConversationReason, string>} */
export const reasons = {
  shape: "جزء منها ناقص أو تالف",
  id: "معرّف ناقص أو تالف",
  text: "نص ناقص أو تالف",
  role: "لا يُعرف من قال شيئًا فيها",
  time: "وقت لا يمكن أن يصحّ",
  settings: "إعدادات لا يمكن أن تصحّ",
  parent: "رسالة منها ناقصة",
  cycle: "تتوالى رسائلها في دائرة",
  twice: "هي أو رسالة منها واردة مرّتين",
  tangled: "فروعها شديدة التشابك",
  nothing: "لا شيء فيها",
};

export const markdown = {
  system: "تعليمات النظام",
  thought: "التفكير",
};
