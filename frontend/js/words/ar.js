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
  search: "بحث",
  theme: "المظهر",
  keys: "المفاتيح",
  conversations: "المحادثات",
  noConversations: "ما تكتبه يُحفَظ في هذا المتصفّح، ويظهر في هذه القائمة.",
  close: "إغلاق",
  transfer: "استيراد وتصدير",
  deleteAll: "حذف الكل",
  conversation: "المحادثة",
  messages: "الرسائل",
  model: "النموذج: ",
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
  settings: "إعدادات هذه المحادثة",
  stop: "إيقاف",
  send: "إرسال",
};

export const themes = {
  system: "المظهر: كما في النظام",
  light: "المظهر: فاتح",
  dark: "المظهر: داكن",
};

/** @type {Record<import("../store.js").StoreTrouble, string>} */
export const storage = {
  unavailable: "لا يحفظ هذا المتصفّح شيئًا هنا، كما في نافذة خاصّة: تبقى المحادثات إلى أن تُغلق هذه الصفحة.",
  newer: "تحفظ المحادثاتِ نسخةٌ أحدث من هذه الصفحة. أعد تحميل هذه الصفحة، فلا شيء يُحفظ قبل ذلك.",
  full: "لم يبقَ مكان في المتصفّح: سيضيع الجديد مع إغلاق هذه الصفحة. صدّر بعض المحادثات واحذفها.",
  almostFull: "يكاد لا يبقى في المتصفّح مكان للمحادثات. صدّر بعضها واحذفه.",
};

export const deletedElsewhere = "حُذفت المحادثة في علامة تبويب أخرى، ويمكن استعادتها هناك لبضع ثوانٍ.";
export const missing = "هذه المحادثة ليست في هذا المتصفّح.";

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

export const offline = "تعذّر الوصول إلى الخادم. يمكنك هنا القراءة والبحث والكتابة، وما ترسله يُرسَل حالما يعود الاتصال.";

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
  branches: "صيغ أخرى",
  previousBranch: "الصيغة السابقة",
  nextBranch: "الصيغة التالية",
  toEnd: "إلى النهاية",
  newText: "نص جديد",
  clumps:
    "تصل هذه الإجابة على دفعات. ربما يحتجزها خادم وكيل بين هذه الصفحة وخادمها، ويمكن لمشغّله أن يمرّرها " +
    "بالترويسة «X-Accel-Buffering: no»، أو في nginx بالإعداد «proxy_buffering off».",
};

export const actions = {
  cancel: "إلغاء",
  delete: "حذف",
  rename: "إعادة التسمية",
  undo: "تراجع",
};

export const writing = {
  dismiss: "إخفاء",
  drop: "أفلِت ملفات نصية هنا لإضافتها إلى رسالتك",
  editing: "تعدّل رسالة: إرسالها يصنع صيغة أخرى منها.",
  outbox: "رسائل في الانتظار",
  sendNow: "أرسِل الآن",
  withdraw: "استرجاع",
  withdrawThis: (/** @type {string} */ beginning) => `استرجاع: ${beginning}`,
};

export const list = {
  pinned: "المثبّتة",
  today: "اليوم",
  yesterday: "أمس",
  week: "آخر سبعة أيام",
  month: "آخر ثلاثين يومًا",
  untitled: "بلا عنوان",
  running: "تُكتب إجابة الآن",
  more: (/** @type {string} */ title) => `المزيد: ${title}`,
  title: "العنوان",
  pin: "تثبيت",
  unpin: "إلغاء التثبيت",
  export: "تصدير",
  renamed: (/** @type {string} */ title) => `أُعيدت التسمية: ${title}`,
  pinnedThis: (/** @type {string} */ title) => `ثُبّتت: ${title}`,
  unpinnedThis: (/** @type {string} */ title) => `أُلغي تثبيتها: ${title}`,
  deleted: (/** @type {string} */ title) => `حُذفت: ${title}`,
  restored: (/** @type {string} */ title) => `استُعيدت: ${title}`,
  deleteAllTitle: "أتريد حذف كل المحادثات؟",
};

export const settings = {
  note: "تسري ابتداءً من رسالتك التالية.",
  changed: "إعدادات هذه المحادثة (معدَّلة)",
  notLoaded: "تعذّر تحميل الإعدادات. حاول مجدّدًا عند عودة الاتصال.",
  done: "تم",
  reset: "العودة إلى الإعدادات الافتراضية",
  isReset: "الإعدادات الافتراضية مستخدمة الآن.",
  undone: "تم التراجع",

  system: "تعليمات النظام",
  systemNote: "ما يُقال للنموذج قبل المحادثة، مثل من هو وكيف يجيب.",
  systemTooLong: (/** @type {number} */ most) => `لم تُؤخذ: يجب أن تكون أقصر من ${characters(most)}.`,
  temperature: "درجة الحرارة",
  temperatureNote: "من 0، أي الكلمات الأرجح، إلى 2، أي الأكثر مفاجأة.",
  temperatureWrong: "لم تُؤخذ: يجب أن تكون عددًا من 0 إلى 2، مثل 0.7.",
  topP: "Top-p",
  topPNote: "أكبر من 0 وحتى 1. تُختار الكلمات من أرجحها التي تبلغ معًا هذه الحصّة.",
  topPWrong: "لم تُؤخذ: يجب أن تكون عددًا أكبر من 0 وحتى 1، مثل 0.9.",
  maxTokens: "أقصى عدد للرموز",
  maxTokensNote: "حيث تنتهي الإجابة على أبعد تقدير. الرمز كلمة قصيرة أو جزء من كلمة أطول.",
  maxTokensWrong: "لم يُؤخذ: يجب أن يكون عددًا صحيحًا بدءًا من 1، مثل 500.",
  modelsOwn: "كما في النموذج",
  think: "فكّر أوّلًا",
  thinkNote: "يفكّر النموذج قبل أن يجيب، وهذا يستغرق وقتًا أطول.",
  notTaken: "لا يقبل هذا النموذج ذلك.",

  preset: "الإعداد المحفوظ",
  defaults: "الإعدادات الافتراضية",
  none: "بلا إعداد محفوظ",
  presets: "إعداداتك المحفوظة",
  save: "حفظ هذه الإعدادات…",
  saveName: "حفظ",
  name: "الاسم",
  nameMissing: "يجب أن يكون لها اسم.",
  nameTaken: "هذا الاسم مستخدم.",
  renameThis: (/** @type {string} */ name) => `إعادة تسمية: ${name}`,
  replace: "استبدال",
  replaceThis: (/** @type {string} */ name) => `استبدال بهذه الإعدادات: ${name}`,
  removeThis: (/** @type {string} */ name) => `حذف: ${name}`,
  used: (/** @type {string} */ name) => `تُستخدم «${name}» الآن.`,
  saved: (/** @type {string} */ name) => `حُفظت «${name}».`,
  replaced: (/** @type {string} */ name) => `صارت لـ«${name}» هذه الإعدادات.`,
  removed: (/** @type {string} */ name) => `حُذفت «${name}».`,
  notKept: "لم يتمكّن المتصفّح من حفظ هذا.",
};

/** A name that may be written in the other direction. @param {string} name */
const isolated = (name) => `\u2068${name}\u2069`;

export const models = {
  all: "النماذج",
  chosen: (/** @type {string} */ name) => `يجيب ${isolated(name)} ابتداءً من رسالتك التالية.`,
  gone: (/** @type {string} */ name, /** @type {string} */ instead) => `لم يعد النموذج «${isolated(name)}» متاحًا: يجيب ${isolated(instead)} بدلًا منه.`,
  use: (/** @type {string} */ name) => `استخدام ${isolated(name)}`,
  /** @param {import("../models.js").Model} model @returns {string} */
  can({ takes, thinking, system, contextTokens }) {
    if (takes === null) return "لم يُحمَّل بعد";
    const can = [thinking ? "التفكير" : "", system ? "تعليمات النظام" : "لا يرى إلّا رسالتك الأخيرة"];
    if (contextTokens !== null) can.push(tokens(contextTokens));
    return can.filter(Boolean).join(" · ");
  },
};

export const searching = {
  results: "النتائج",
  more: "عرض المزيد",
  loading: "ما زالت قراءة البقيّة جارية…",
  count: (/** @type {number} */ count) => (count === 0 ? "لم يُعثر على شيء." : conversations(count)),
  others: (/** @type {number} */ count, /** @type {boolean} */ inTitle) =>
    inTitle ? `وفي ${messages(count)}` : `وفي غيرها: ${messages(count)}`,
  day: (/** @type {Date} */ day) => day.toLocaleDateString(language, { dateStyle: "medium" }),
};

export const keys = {
  send: "إرسال الرسالة",
  newLine: "بدء سطر جديد",
  edit: "تعديل الرسالة الأخيرة، عندما يكون حقل الكتابة فارغًا",
  stop: "إيقاف الإجابة، أو إغلاق ما هو مفتوح",
  newChat: "بدء محادثة جديدة",
  search: "البحث في كل المحادثات، خارج حقل الكتابة",
  help: "عرض هذه المفاتيح، خارج حقل الكتابة",
};

const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(language);

/** @param {number} number @param {number} count */
export function branch(number, count) {
  return `${numbers.format(number)} / ${numbers.format(count)}`;
}

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

export const messages = (/** @type {number} */ count) =>
  counted(count, { one: "رسالة واحدة", two: "رسالتان", few: "رسائل", other: "رسالة" });
export const conversations = (/** @type {number} */ count) =>
  counted(count, { one: "محادثة واحدة", two: "محادثتان", few: "محادثات", other: "محادثة" });
const tokens = (/** @type {number} */ count) =>
  counted(count, { one: "رمز واحد", two: "رمزان", few: "رموز", many: "رمزًا", other: "رمز" });
const characters = (/** @type {number} */ count) =>
  counted(count, { one: "حرف واحد", two: "حرفان", few: "أحرف", many: "حرفًا", other: "حرف" });

const months = new Intl.DateTimeFormat(language, { month: "long", year: "numeric" });

/** @param {number} time */
export function month(time) {
  return months.format(time);
}

/** @param {number} count */
export function deleteAll(count) {
  const messages = plurals.select(count) === "two" ? "رسائلهما" : "رسائلها";
  return `${conversations(count)} بكل ${messages}، في هذا المتصفّح. لا يمكن التراجع عن هذا.`;
}

/** @param {number} count */
export function deletedAll(count) {
  return `حُذف: ${conversations(count)}`;
}

/** @param {boolean} running @param {boolean} touch @returns {string} */
export function hint(running, touch) {
  if (running) return "ما ترسله ينتظر انتهاء هذه الإجابة";
  return touch ? "" : "Enter للإرسال، وShift + Enter لسطر جديد";
}

/** @param {number} count @param {boolean} held */
export function outbox(count, held) {
  return `${held ? "محتجَز" : "في الانتظار"}: ${messages(count)}`;
}

/** @param {number} over @param {number} most */
export function tooLong(over, most) {
  return `رسالتك أطول من اللازم، والزيادة ${characters(over)}: الحدّ الأقصى ${characters(most)}.`;
}

/** @param {number} count */
export function leftOut(count) {
  if (count === 1) return "لم تتّسع أوّل رسالة فلم تُرسل.";
  if (count === 2) return "لم تتّسع أوّل رسالتين فلم تُرسلا.";
  return `لم تتّسع أوّل ${messages(count)} فلم تُرسل.`;
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
  counts_unavailable: "لا يستطيع الخادم التحقّق من حدوده الآن. حاول مجدّدًا بعد قليل.",
  cross_site: "لا يقبل الخادم هذا الطلب من صفحة موقع آخر.",
  draining: "يُعاد تشغيل الخادم. حاول مجدّدًا بعد قليل.",
  engine_lost: "توقّفت العملية التي كانت تكتب هذه الإجابة.",
  error: "حدث خطأ ما.",
  foreign_host: "هذا النموذج للجهاز الذي يعمل عليه وحده، ولا يُسأل بهذا العنوان.",
  generation_failed: "تعذّر إكمال الإجابة.",
  head_too_large: "ترويسات الطلب أكثر أو أكبر مما يقبله الخادم.",
  invalid_position: "لا يعرف الخادم الموضع الذي تُستأنف منه هذه الإجابة.",
  invalid_request: "لا يقبل الخادم هذا الطلب.",
  key_revoked: "لم يعد المفتاح الذي طُلبت به هذه الإجابة صالحًا.",
  malformed_body: "وصل الطلب إلى الخادم بصيغة غير صالحة.",
  malformed_request: "وصل إلى الخادم طلب غير صالح.",
  method_not_allowed: "لا يقبل هذا العنوان هذا النوع من الطلبات.",
  model_error: "أخفق النموذج أثناء الإجابة.",
  model_unavailable: "النموذج غير متاح.",
  not_found: "لا يوجد شيء في هذا العنوان.",
  prompt_too_long: "رسالتك أطول مما يقبله هذا الخادم. اختصرها، أو اختصر تعليمات النظام.",
  queue_full: "عدد المنتظرين كبير. حاول مجدّدًا بعد قليل.",
  rate_limited: "أسئلة كثيرة في وقت قصير.",
  shutdown: "توقّف الخادم قبل أن تكتمل الإجابة.",
  target_too_long: "عنوان الطلب أطول مما يقبله الخادم.",
  tokens_used_up: "استُهلك كل ما يُتاح في اليوم من رموز.",
  too_many_generations: "إجابات كثيرة في وقت واحد. انتظر إلى أن تنتهي إحداها.",
  too_many_tries: "مفاتيح خاطئة كثيرة.",
  timeout: "طال صمت النموذج.",
  unauthorized: "يطلب هذا الخادم مفتاحًا.",
  unknown_generation: "لا توجد هذه الإجابة: معرّفها غير معروف، أو انتهت مدّتها.",
  unknown_model: "لا يوجد هذا النموذج هنا.",
  upstream_busy: "لا يقبل خادم النموذج مزيدًا من الطلبات الآن. حاول مجدّدًا بعد قليل.",
  upstream_cut_off: "توقّف خادم النموذج في منتصف الإجابة.",
  upstream_failed: "أخفق خادم النموذج.",
  upstream_malformed: "أرسل خادم النموذج ما ليس إجابة.",
  upstream_model_unknown: "لا يعرف خادم النموذج هذا النموذج.",
  upstream_refused: "لا يقبل خادم النموذج هذا الطلب.",
  upstream_unauthorized: "لا يقبل خادم النموذج مفتاح هذا الخادم.",
  upstream_unreachable: "يتعذّر الوصول إلى خادم النموذج.",
  unsupported_media: "وصل الطلب إلى الخادم بنوع محتوى لا يقبله.",
  unsupported_transfer: "وصل الطلب إلى الخادم بترميز نقل لا يقبله.",
  unsupported_version: "وصل الطلب إلى الخادم بإصدار بروتوكول لا يقبله.",
};

/**
 * The server's own words where it may know more than its usual sentence: what is wrong, or what the model tells.
 *
 * @type {Record<string, string>}
 */
const USUAL = {
  invalid_request: "The request is not valid.",
  model_error: "The model failed while it was answering.",
  prompt_too_long: "The conversation is too long.",
  upstream_busy: "The model's server takes no more requests at the moment.",
  upstream_failed: "The model's server failed.",
  upstream_refused: "The model's server does not accept this request.",
};

/** @param {string} code @param {string} message @param {"refused" | "failed"} [kind] */
export function problem(code, message, kind = "refused") {
  const known = PROBLEMS[code];
  if (known === undefined) return message;
  // The server speaks of all messages together.
  if (code === "prompt_too_long" && kind === "refused") return known;
  return (USUAL[code] ?? message) === message ? known : `${known}\n${message}`;
}

/** @param {Answer} answer @param {ConnectionState} connection */
export function waiting(answer, connection) {
  if (connection === "offline") return "لا اتصال لديك بالشبكة. يُستأنف هذا فور عودة الاتصال.";
  if (connection === "reconnecting") return "انقطع الاتصال. تجري إعادة الاتصال…";
  if (connection === "locked") return "في انتظار مفتاح هذا الخادم…";
  switch (answer.phase) {
    case "sending":
      return answer.generation === "" ? "يجري الإرسال…" : "في انتظار أول كلمة…";
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

const moments = new Intl.DateTimeFormat(language, { timeStyle: "short" });
const days = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long" });

/** @param {number} until ms since the epoch @param {number} now */
export function when(until, now) {
  const seconds = Math.ceil((until - now) / 1000);
  if (seconds < 100) return `بعد ${time(seconds, "second")}`;
  if (seconds < 3600) return `بعد ${time(Math.ceil(seconds / 60), "minute")}`;
  const isToday = new Date(until).toDateString() === new Date(now).toDateString();
  return `${isToday ? "" : `يوم ${days.format(until)} `}عند الساعة ${moments.format(until)}`;
}

export const again = {
  byItself: (/** @type {string} */ when) => `ستُرسَل مجدّدًا ${when}.`,
  possible: (/** @type {string} */ when) => `يمكنك إرسالها مجدّدًا ${when}.`,
  now: "يمكنك إرسالها مجدّدًا الآن.",
};

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
export function figures({ figures: { firstTokenMs, writingMs, tokens: arrived, interrupted, usage }, thinkingMs, model }) {
  const count = Math.max(arrived, usage?.completion ?? 0);
  const speed = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  /** @type {[string, string][]} */
  const rows = [];
  if (model !== null) rows.push(["النموذج", model]);
  if (firstTokenMs !== null) rows.push(["أوّل رمز بعد", time(firstTokenMs / 1000, "second", 2)]);
  if (interrupted) rows.push(["السرعة", "غير معروفة، فقد انقطع الاتصال"]);
  else if (writingMs > 0) rows.push(["السرعة", `${speed.format((1000 * (count - 1)) / writingMs)} رمز في الثانية`]);
  rows.push(["الطول", usage ? tokens(count) : `نحو ${tokens(count)}`]);
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
      const message = problem(end.code, end.message, end.kind);
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
