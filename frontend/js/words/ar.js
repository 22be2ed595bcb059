/** Everything that the page says, in Arabic; see `en.js`. */

import { endedWell } from "../answer.js";

/**
 * @typedef {import("../chat.js").Answer} Answer
 * @typedef {import("../sse.js").ConnectionState} ConnectionState
 */

export const language = /** @type {string} */ ("ar");
export const direction = /** @type {string} */ ("rtl");

export const page = {
  newChat: "محادثة جديدة",
  theme: "المظهر",
  keys: "المفاتيح",
  conversation: "المحادثة",
  messages: "الرسائل",
  welcome: "بمَ تفكّر؟",
  hello: "ألقِ التحية",
  helloPrompt: "مرحبًا!",
  inside: "انظر إلى الداخل",
  insidePrompt: "اشرح لي كيف يعمل هذا",
  learn: "تعلّم مصطلحًا",
  learnPrompt: "ما هو البثّ المتدفّق؟",
  example: "شاهد مثالًا",
  examplePrompt: "أرِني بعض الشيفرة",
  message: "رسالتك",
  placeholder: "اكتب رسالة",
  think: "فكّر أوّلًا",
  attach: "إضافة ملفات نصية",
  stop: "إيقاف",
  send: "إرسال",
};

export const themes = {
  system: "المظهر: كما في النظام",
  light: "المظهر: فاتح",
  dark: "المظهر: داكن",
};

export const storage = {
  unreadable: "تعذّرت قراءة المحادثة المحفوظة.",
  full: "لا مكان في المتصفّح لحفظ هذه المحادثة: قد تفقد إعادةُ التحميل أحدثَ جزء منها.",
};

export const markdown = {
  copy: "نسخ",
  copied: "تم النسخ",
  copyFailed: "لم يُنسخ، لكنه محدَّد",
  copyTable: "نسخ الجدول",
  wrap: "لفّ الأسطر",
  task: "مهمّة",
  footnotes: "الحواشي",
  backToText: "العودة إلى النص",
};

export const reading = {
  you: "أنت",
  model: "Burble",
  copy: "نسخ",
  copyMarkdown: "نسخ بصيغة Markdown",
  copied: "تم النسخ",
  copyFailed: "لم يسمح المتصفّح بالنسخ. النص محدَّد الآن: انسخه بأمر النسخ في المتصفّح.",
  details: "التفاصيل",
  continue: "متابعة",
  retry: "إعادة المحاولة",
  edit: "تعديل الرسالة",
  toEnd: "إلى النهاية",
  newText: "نص جديد",
  clumps:
    "تصل هذه الإجابة على دفعات. ربما يحتجزها خادم وكيل بين هذه الصفحة وخادمها، ويمكن لمشغّله أن يمرّرها " +
    "بالترويسة «X-Accel-Buffering: no»، أو في nginx بالإعداد «proxy_buffering off».",
};

export const writing = {
  cancelEdit: "إلغاء",
  close: "إغلاق",
  dismiss: "إخفاء",
  drop: "أفلِت ملفات نصية هنا لإضافتها إلى رسالتك",
  editing: "تعدّل رسالتك الأخيرة: إرسالها يستبدل إجابتها.",
  keys: "المفاتيح",
  outbox: "رسائل في الانتظار",
  sendNow: "أرسِل الآن",
  withdraw: "استرجاع",
  withdrawThis: (/** @type {string} */ beginning) => `استرجاع: ${beginning}`,
};

export const keys = {
  send: "إرسال الرسالة",
  newLine: "بدء سطر جديد",
  edit: "تعديل الرسالة الأخيرة، عندما يكون حقل الكتابة فارغًا",
  stop: "إيقاف الإجابة، أو إغلاق ما هو مفتوح",
  newChat: "بدء محادثة جديدة",
  help: "عرض هذه المفاتيح، خارج حقل الكتابة",
};

const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(language);

/**
 * The number with its noun: Arabic says one and two by the noun alone.
 *
 * @param {number} count
 * @param {Partial<Record<Intl.LDMLPluralRule, string>> & {other: string}} forms
 */
function counted(count, forms) {
  const rule = plurals.select(count);
  const noun = forms[rule] ?? forms.other;
  return rule === "one" || rule === "two" ? noun : `${numbers.format(count)} ${noun}`;
}

const messages = (/** @type {number} */ count) =>
  counted(count, { one: "رسالة واحدة", two: "رسالتان", few: "رسائل", other: "رسالة" });
const tokens = (/** @type {number} */ count) =>
  counted(count, { one: "رمز واحد", two: "رمزان", few: "رموز", many: "رمزًا", other: "رمز" });
const characters = (/** @type {number} */ count) =>
  counted(count, { one: "حرف واحد", two: "حرفان", few: "أحرف", many: "حرفًا", other: "حرف" });

/** @param {boolean} running @param {boolean} touch @returns {string} */
export function hint(running, touch) {
  if (running) return "ما ترسله ينتظر انتهاء هذه الإجابة";
  return touch ? "" : "Enter للإرسال، وShift + Enter لسطر جديد";
}

/** @param {number} count @param {boolean} held */
export function outbox(count, held) {
  return `${held ? "محتجَز" : "في الانتظار"}: ${messages(count)}`;
}

/** @param {string[]} names */
export function filesAdded(names) {
  return `أُضيف: ${names.join("، ")}`;
}

/**
 * @param {string} name
 * @param {import("../files.js").Refusal} reason
 * @param {{file: number, message: number}} limits
 */
export function fileRefused(name, reason, limits) {
  const reasons = {
    empty: "فارغ.",
    tooLarge: `أطول من اللازم: الحدّ الأقصى للملف ${characters(limits.file)}.`,
    binary: "ليس ملفًا نصيًا.",
    unreadable: "تتعذّر قراءته.",
    noRoom: `لا يتّسع له المكان: الحدّ الأقصى للرسالة ${characters(limits.message)}.`,
  };
  return `«${name}» ${reasons[reason]}`;
}

/** @type {Record<string, string>} */
const PROBLEMS = {
  bad_event: "أرسل الخادم ما لا يمكن قراءته.",
  body_too_large: "المحادثة أكبر مما يقبله الخادم.",
  draining: "يُعاد تشغيل الخادم. حاول مجدّدًا بعد قليل.",
  engine_lost: "توقّفت العملية التي كانت تكتب هذه الإجابة.",
  error: "حدث خطأ ما.",
  generation_failed: "تعذّر إكمال الإجابة.",
  invalid_position: "لا يعرف الخادم الموضع الذي تُستأنف منه هذه الإجابة.",
  invalid_request: "لا يقبل الخادم هذا الطلب.",
  malformed_body: "وصل الطلب إلى الخادم بصيغة غير صالحة.",
  model_error: "أخفق النموذج أثناء الإجابة.",
  model_unavailable: "النموذج غير متاح.",
  queue_full: "عدد المنتظرين كبير. حاول مجدّدًا بعد قليل.",
  shutdown: "توقّف الخادم قبل أن تكتمل الإجابة.",
  timeout: "طال صمت النموذج.",
  unknown_generation: "لا توجد هذه الإجابة: معرّفها غير معروف، أو انتهت مدّتها.",
  unsupported_media: "وصل الطلب إلى الخادم بنوع محتوى لا يقبله.",
};

/**
 * The server's own words where it may know more than its usual sentence: what is wrong, or what the model tells.
 *
 * @type {Record<string, string>}
 */
const USUAL = {
  invalid_request: "The request is not valid.",
  model_error: "The model failed while it was answering.",
};

/** @param {string} code @param {string} message */
export function problem(code, message) {
  const known = PROBLEMS[code];
  if (known === undefined) return message;
  return (USUAL[code] ?? message) === message ? known : `${known}\n${message}`;
}

/** @param {Answer} answer @param {ConnectionState} connection */
export function waiting(answer, connection) {
  if (connection === "offline") return "لا اتصال لديك بالشبكة. يُستأنف هذا فور عودة الاتصال.";
  if (connection === "reconnecting") return "انقطع الاتصال. تجري إعادة الاتصال…";
  switch (answer.phase) {
    case "sending":
      return answer.id === "" ? "يجري الإرسال…" : "في انتظار أول كلمة…";
    case "queued":
      return `في الانتظار، ترتيبك في الطابور: ${numbers.format(answer.position)}`;
    case "loading":
      return "يجري تحميل النموذج…";
    case "prefill":
      return answer.percent > 0 ? `تجري قراءة رسالتك… ${percent.format(answer.percent / 100)}` : "تجري قراءة رسالتك…";
    default:
      return "";
  }
}

const percent = new Intl.NumberFormat(language, { style: "percent" });

/** @param {Answer} answer @param {number} now ms since the epoch */
export function thinkingSummary({ thinkingSince, thinkingMs }, now) {
  if (thinkingMs !== null) return `فكّر لمدة ${duration(Math.max(1000, thinkingMs))}`;
  const elapsed = now - (thinkingSince ?? now);
  return elapsed < 1000 ? "يفكّر…" : `يفكّر… ${duration(elapsed)}`;
}

/** @param {number} value @param {"second" | "minute"} unit @param {number} [digits] */
function time(value, unit, digits = 0) {
  const format = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, /** @type {Intl.NumberFormatOptions} */ (format)).format(value);
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return time(seconds, "second");
  return `${time(Math.floor(seconds / 60), "minute")} و${time(seconds % 60, "second")}`;
}

/**
 * @param {Answer} answer
 * @returns {[string, string][]}
 */
export function figures({ figures: { firstTokenMs, writingMs, tokens: arrived, interrupted, usage }, thinkingMs }) {
  const count = Math.max(arrived, usage?.completion ?? 0);
  const speed = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  /** @type {[string, string][]} */
  const rows = [];
  if (firstTokenMs !== null) rows.push(["أوّل رمز بعد", time(firstTokenMs / 1000, "second", 2)]);
  if (interrupted) rows.push(["السرعة", "غير معروفة، فقد انقطع الاتصال"]);
  else if (writingMs > 0) rows.push(["السرعة", `${speed.format((1000 * (count - 1)) / writingMs)} رمز في الثانية`]);
  rows.push(["الطول", tokens(count)]);
  if (usage) rows.push(["المحادثة قبلها", tokens(usage.prompt)]);
  if (thinkingMs !== null) rows.push(["مدة التفكير", duration(Math.max(1000, thinkingMs))]);
  return rows;
}

/**
 * @param {Answer} answer
 * @returns {{text: string, code: string, error: boolean} | null}
 */
export function ending({ end, content }) {
  const cutOff = "انقطعت هذه الإجابة هنا.";
  switch (end?.kind) {
    case "length":
      return { text: "بلغت الإجابة حدّ طولها وتنتهي هنا.", code: "", error: false };
    case "stop":
      return content === "" ? { text: "أعطى النموذج إجابة فارغة.", code: "", error: false } : null;
    case "stopped":
      return { text: "أُوقفت", code: "", error: false };
    case "cut":
      return { text: `${cutOff} لم تعد بقيّتها موجودة.`, code: "", error: true };
    case "unreachable":
      return {
        text: content === "" ? "يتعذّر الوصول إلى الخادم. رسالتك ما زالت هنا." : `${cutOff} يتعذّر الوصول إلى الخادم.`,
        code: "",
        error: true,
      };
    case "failed":
    case "refused": {
      const message = problem(end.code, end.message);
      return { text: content === "" ? message : `${cutOff} ${message}`, code: end.code, error: true };
    }
    default:
      return null;
  }
}

/** @param {Answer} answer @param {ConnectionState} connection */
export function announcement(answer, connection) {
  if (endedWell(answer)) return "اكتملت الإجابة.";
  if (answer.end) {
    const said = ending(answer);
    return said && !said.error ? said.text : "";
  }
  return waiting(answer, connection) || (answer.phase === "thinking" ? "يفكّر…" : "يجيب…");
}
