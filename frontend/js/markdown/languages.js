/**
 * The languages that `highlight.js` colours, as tables.
 *
 * A language is a set of modes; a mode is a list of rules, tried in order at each place of a line. A rule is
 * `[class, pattern, move?]`: what it matches gets the class (`""` none, `"word"` the class that the language's words
 * give), and then the mode changes: `"+name"` enters a mode, `"-"` leaves it, `"=name"` does both, `"<<"` enters
 * `heredoc` with the next line, until a line that is the word in the match. What no rule matches has the mode's `fill`.
 *
 * A pattern sees one line of at most 2,000 characters and must match or fail in time linear in it; those that look
 * ahead for something far away are bounded.
 *
 * Only the names that are defined (`def name`) count as functions and types, and not each call: each coloured piece on
 * the screen costs the browser some microseconds whenever the page changes.
 */

/** @typedef {"comment" | "string" | "number" | "keyword" | "constant" | "function" | "type" | "property" | "tag"
 *   | "inserted" | "deleted"} TokenClass */
/** @typedef {[TokenClass | "word" | "", RegExp, string?]} Rule */
/** @typedef {{fill?: TokenClass, rules: Rule[]}} ModeTable */
/**
 * @typedef {object} LanguageTable
 * @property {Record<string, ModeTable>} modes the first is where a text begins
 * @property {{[kind in TokenClass]?: string}} words separated by spaces
 * @property {{[kind in TokenClass]?: string}} [defines] the words after which a word has this class
 * @property {boolean} [ignoreCase]
 */

const DOUBLE = /"(?:[^"\\]|\\.)*"?/;
const SINGLE = /'(?:[^'\\]|\\.)*'?/;
const CHARACTER = /'(?:[^'\\]|\\.[^']{0,8})'/;
const NUMBER = /0[xXbBoO][\da-fA-F_]+\w*|\.?\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?\w*/;
const WORD = /[A-Za-z_$\x80-\uffff][\w$\x80-\uffff]*/;

/** @type {Rule} */
const HASH_COMMENT = ["comment", /(?<!\S)#.*/];
/** @type {Rule[]} */
const SLASH_COMMENTS = [
  ["comment", /\/\/.*/],
  ["comment", /\/\*/, "+comment"],
];
/** @type {Rule[]} */
const STRINGS = [
  ["string", DOUBLE],
  ["string", SINGLE],
];
/** @type {Rule[]} */
const WORDS = [
  ["word", WORD],
  ["number", NUMBER],
];

/** @param {RegExp} end @param {TokenClass} [fill] @returns {ModeTable} */
const until = (end, fill = "string") => ({ fill, rules: [[fill, end, "-"]] });
const COMMENT = until(/\*\//, "comment");

/**
 * A language of the family of C.
 *
 * @param {LanguageTable["words"]} words
 * @param {LanguageTable["defines"]} defines
 * @param {Rule[]} rules
 * @param {Record<string, ModeTable>} [modes]
 * @returns {LanguageTable}
 */
const cLike = (words, defines, rules, modes) => ({
  words,
  defines,
  modes: { main: { rules: [...SLASH_COMMENTS, ...rules, ["string", DOUBLE], ...WORDS] }, comment: COMMENT, ...modes },
});

/** @type {Rule[]} */
const ECMASCRIPT = [
  ...SLASH_COMMENTS,
  ...STRINGS,
  ["string", /`/, "+template"],
  ["string", /(?<=(?:^|[=(,:[!&|?{};>]|\breturn)\s{0,9})\/(?![*/])(?:[^\\/[]|\\.|\[(?:[^\]\\]|\\.){0,200}\]){1,200}\/[a-z]*/],
  ["tag", /(?<![\w)\]]\s?)<(?:[A-Za-z][\w.-]*>?|>)|<\/[\w.-]{0,99}>|\/>/],
  ["function", /@[A-Za-z_$][\w$.]*/],
  ...WORDS,
];
/** @type {Record<string, ModeTable>} */
const ECMASCRIPT_MODES = {
  comment: COMMENT,
  template: { fill: "string", rules: [["", /\$\{/, "+braces"], ["string", /`/, "-"], ["string", /\\./]] },
  braces: { rules: [["", /\{/, "+braces"], ["", /\}/, "-"], ...ECMASCRIPT] },
};
/** @type {LanguageTable} */
const javascript = {
  words: {
    keyword:
      "abstract as async await break case catch class const continue debugger declare default delete do else enum export " +
      "extends finally for from function get if implements import in instanceof interface keyof let namespace new of " +
      "private protected public readonly return satisfies set static super switch this throw try type typeof var void " +
      "while with yield",
    constant: "true false null undefined NaN Infinity",
    type: "any bigint boolean never number object string symbol unknown",
  },
  defines: { function: "function", type: "class interface enum type extends new" },
  modes: { main: { rules: ECMASCRIPT }, ...ECMASCRIPT_MODES },
};

/** @type {Rule[]} */
const STYLES = [
  ["comment", /\/\*/, "+comment"],
  ...STRINGS,
  ["keyword", /@[\w-]+|!important/],
  ["property", /--[\w-]+|[a-z-]+(?=:\s)/],
  ["string", /url\([^)"']+\)?/],
  ["number", /#[\da-fA-F]{3,8}(?![\w-])|[+-]?(?:\d+\.?\d*|\.\d+)(?:[a-zA-Z]+|%)?/],
];
/** @type {Record<string, ModeTable>} */
const STYLES_MODES = {
  comment: COMMENT,
  block: {
    rules: [
      ...STYLES,
      ["", /\{/, "+block"],
      ["", /\}/, "-"],
      ["property", /[A-Za-z-]+(?=\s{0,9}:[^{]{0,300}(?:[;}]|$))/],
      ["function", /[A-Za-z-]+(?=\()/],
      ["type", /[.#][\w-]+/],
      ["", /[\w-]+/],
    ],
  },
};
/** @type {Rule[]} */
const SELECTORS = [...STYLES, ["", /\{/, "+block"], ["type", /[.#][\w-]+/], ["", /::?[\w-]+/], ["tag", /[A-Za-z][\w-]*/]];
/** @type {LanguageTable} */
const css = { words: {}, modes: { main: { rules: SELECTORS }, ...STYLES_MODES } };

/** @param {Rule} end @returns {ModeTable} */
const tag = (end) => ({ rules: [end, ["string", /"[^"]*"?/], ["string", /'[^']*'?/], ["property", /[^\s"'<>\/=]+/]] });
/** @type {LanguageTable} */
const html = {
  words: javascript.words,
  defines: javascript.defines,
  modes: {
    main: {
      rules: [
        ["comment", /<!--/, "+remark"],
        ["keyword", /<[!?]\w[^>]*>?/],
        ["tag", /<script(?![\w-])/, "+scriptTag"],
        ["tag", /<style(?![\w-])/, "+styleTag"],
        ["tag", /<\/?[A-Za-z][\w:.-]*/, "+tag"],
        ["constant", /&#?\w{1,32};/],
      ],
    },
    remark: until(/-->/, "comment"),
    tag: tag(["tag", /\/?>/, "-"]),
    scriptTag: tag(["tag", />/, "=script"]),
    styleTag: tag(["tag", />/, "=style"]),
    script: { rules: [["", /(?=<\/script)/, "-"], ["comment", /\/\/(?:(?!<\/script).)*/], ...ECMASCRIPT] },
    style: { rules: [["", /(?=<\/style)/, "-"], ...SELECTORS] },
    ...ECMASCRIPT_MODES,
    ...STYLES_MODES,
  },
};

/** @type {LanguageTable} */
const python = {
  words: {
    keyword:
      "and as assert async await break case class continue def del elif else except finally for from global if import in " +
      "is lambda match nonlocal not or pass raise return try while with yield",
    constant: "True False None self cls NotImplemented Ellipsis",
    type: "bool bytes bytearray dict float frozenset int list object set str tuple type",
  },
  defines: { function: "def", type: "class" },
  modes: {
    main: {
      rules: [
        ["comment", /#.*/],
        ["string", /[rRbBfFuU]{0,2}"""/, "+double"],
        ["string", /[rRbBfFuU]{0,2}'''/, "+single"],
        ["string", /[rRbBfFuU]{0,2}"(?:[^"\\]|\\.)*"?/],
        ["string", /[rRbBfFuU]{0,2}'(?:[^'\\]|\\.)*'?/],
        ["function", /(?<!\S)@[A-Za-z_][\w.]*/],
        ...WORDS,
      ],
    },
    double: { fill: "string", rules: [["string", /\\./], ["string", /"""/, "-"]] },
    single: { fill: "string", rules: [["string", /\\./], ["string", /'''/, "-"]] },
  },
};

/** @type {LanguageTable} */
const json = {
  words: { constant: "true false null" },
  modes: { main: { rules: [...SLASH_COMMENTS, ["property", /"(?:[^"\\]|\\.)*"(?=\s{0,99}:)/], ...STRINGS, ["number", /-?\d[\d.]*(?:[eE][+-]?\d+)?/], ["word", WORD]] }, comment: COMMENT },
};

/** @type {Record<string, ModeTable>} */
const QUOTED = {
  heredoc: { fill: "string", rules: [] },
  quoted: { fill: "string", rules: [["string", /\\./], ["property", /\$\{[^}]*\}?|\$\w+/], ["string", /"/, "-"]] },
  raw: until(/'/),
};
/** @type {LanguageTable} */
const bash = {
  words: {
    keyword:
      "alias break case cd continue declare do done echo elif else esac eval exec exit export fi for function if in local " +
      "read readonly return select set shift source sudo then time trap unset until while",
    constant: "true false",
  },
  defines: { function: "function" },
  modes: {
    main: {
      rules: [
        HASH_COMMENT,
        ["", /<<-?\s?["']?[A-Za-z_]\w*["']?/, "<<"],
        ["string", /"/, "+quoted"],
        ["string", /'/, "+raw"],
        ["property", /\$(?:\{[^}]*\}?|\w+|[@#?*!$-])/],
        ["property", /(?<!\S)-{1,2}[A-Za-z][\w-]*/],
        ["function", /[\w-]+(?=\s?\(\))/],
        ["word", /[\w.\/:~-]+/],
        ["", /\\./],
      ],
    },
    ...QUOTED,
  },
};

/** @type {LanguageTable} */
const sql = {
  ignoreCase: true,
  words: {
    keyword:
      "add all alter and as asc begin between by cascade case check column commit conflict constraint create cross " +
      "database default delete desc distinct do drop else end except exists explain foreign from full function group " +
      "having if ilike in index inner insert intersect into is join key lateral left like limit natural not nothing null " +
      "offset on or order outer over partition primary references replace returning right rollback row rows select set " +
      "table then to transaction trigger truncate union unique update using values view when where window with",
    constant: "true false current_date current_timestamp",
    type:
      "bigint bigserial bool boolean bytea char date decimal double float int integer interval json jsonb numeric real " +
      "serial smallint text time timestamp timestamptz uuid varchar",
  },
  modes: {
    main: {
      rules: [
        ["comment", /--.*/],
        ["comment", /\/\*/, "+comment"],
        ["string", /'/, "+raw"],
        ["", /"[^"]*"?|`[^`]*`?/],
        ...WORDS,
      ],
    },
    comment: COMMENT,
    raw: QUOTED.raw ?? COMMENT,
  },
};

const C_KEYWORDS = "break case continue default do else for goto if return switch while";
const C_CONSTANTS = "true false null";
const CPP = {
  keyword:
    `${C_KEYWORDS} alignas auto catch class co_await co_return co_yield concept const consteval constexpr decltype delete ` +
    "enum explicit extern final friend inline mutable namespace new noexcept operator override private protected public " +
    "register requires restrict sizeof static struct template this throw try typedef typename union using virtual volatile",
  constant: "true false NULL nullptr",
  type: "bool char double float int int8_t int16_t int32_t int64_t long short signed size_t string uint8_t uint16_t uint32_t uint64_t unsigned void wchar_t",
};
const JVM_KEYWORDS = `${C_KEYWORDS} abstract catch class enum final finally import interface package private protected public super this throw try`;
/** @type {Rule} */
const ANNOTATION = ["function", /@[A-Za-z_][\w.]*/];
/** @type {Rule} */
const TEXT_BLOCK = ["string", /"""/, "+block"];
const BLOCK = until(/"""/);

const cpp = cLike(CPP, { type: "class struct enum union namespace" }, [
  ["keyword", /^\s*#\s*\w+/],
  ["string", /(?<=#include\s{1,9})<[^>]*>?/],
  ["string", /R"\(/, "+raw"],
  ["string", CHARACTER],
], { raw: until(/\)"/) });
const java = cLike(
  {
    keyword: `${JVM_KEYWORDS} assert extends implements instanceof native new non-sealed permits record sealed static synchronized throws transient var volatile yield`,
    constant: C_CONSTANTS,
    type: "boolean byte char double float int long short void String Object",
  },
  { type: "class interface enum record extends implements new" },
  [ANNOTATION, TEXT_BLOCK, ["string", CHARACTER]],
  { block: BLOCK },
);
const kotlin = cLike(
  {
    keyword: `${JVM_KEYWORDS} as by companion constructor data fun in init inline internal is lateinit object open override sealed suspend typealias val var vararg when where`,
    constant: C_CONSTANTS,
    type: "Any Boolean Byte Char Double Float Int Long Nothing Short String Unit",
  },
  { function: "fun", type: "class interface object" },
  [ANNOTATION, TEXT_BLOCK, ["string", CHARACTER]],
  { block: BLOCK },
);
const csharp = cLike(
  {
    keyword:
      `${C_KEYWORDS} abstract as async await base catch checked class const delegate enum event explicit extern finally fixed foreach get ` +
      "implicit in init interface internal is lock nameof namespace new operator out override params partial private protected public " +
      "readonly record ref required sealed set sizeof static struct this throw try typeof unchecked unsafe using value var virtual volatile when where yield",
    constant: C_CONSTANTS,
    type: "bool byte char decimal double dynamic float int long object sbyte short string uint ulong ushort void",
  },
  { type: "class interface enum struct record new" },
  [["keyword", /^\s*#\s*\w+/], ["string", /\$?"""/, "+block"], ["string", /\$?@\$?"/, "+verbatim"], ["string", CHARACTER]],
  { block: BLOCK, verbatim: until(/"/) },
);
const go = cLike(
  {
    keyword: `${C_KEYWORDS} chan const defer fallthrough func go import interface map package range select struct type var`,
    constant: "true false nil iota",
    type: "any bool byte complex128 error float32 float64 int int8 int16 int32 int64 rune string uint uint8 uint16 uint32 uint64 uintptr",
  },
  { function: "func", type: "type" },
  [["string", /`/, "+raw"], ["string", CHARACTER], ["function", /(?<=^func\s\([^)]{0,80}\)\s)\w+/]],
  { raw: until(/`/) },
);
const rust = cLike(
  {
    keyword:
      "as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod move mut pub ref " +
      "return self static struct super trait type union unsafe use where while",
    constant: "true false None Some Ok Err",
    type: "bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize Self String Vec Option Result Box",
  },
  { function: "fn", type: "struct enum trait type impl" },
  [["string", /b?r#{1,3}"/, "+raw"], ["string", /b?"(?:[^"\\]|\\.)*$/, "+string"], ["string", /b?'(?:[^'\\]|\\.[^']{0,8})'/], ["property", /'[a-z_]\w*/], ["function", /#!?\[[^\]]*\]?|[a-z_]\w*!(?!=)/]],
  { raw: until(/"#{1,3}/), string: { fill: "string", rules: [["string", /\\./], ["string", /"/, "-"]] } },
);
const swift = cLike(
  {
    keyword: `${C_KEYWORDS} actor as async await class defer enum extension fileprivate final func guard import in init inout internal is lazy let mutating open override private protocol public repeat self some static struct super throw throws try typealias var weak where`,
    constant: "true false nil",
    type: "Any Bool Character Double Float Int String UInt Void",
  },
  { function: "func", type: "class struct enum protocol extension actor" },
  [ANNOTATION, TEXT_BLOCK],
  { block: BLOCK },
);
const php = cLike(
  {
    keyword: `${C_KEYWORDS} abstract array as catch class const declare echo elseif enum extends final finally fn foreach function global implements include instanceof interface isset match namespace new private protected public readonly require require_once static throw trait try unset use yield`,
    constant: "true false null TRUE FALSE NULL",
    type: "bool callable float int iterable mixed object string void",
  },
  { function: "function", type: "class interface trait enum extends implements new" },
  [["keyword", /<\?(?:php|=)?|\?>/], ["comment", /#(?!\[).*/], ["property", /\$\w+/], ["string", SINGLE]],
);
/** @type {LanguageTable} */
const ruby = {
  words: {
    keyword:
      "alias and attr_accessor attr_reader attr_writer begin break case class def defined? do else elsif end ensure extend for if in include " +
      "loop module next not or private protected public raise redo require require_relative rescue retry return super then undef " +
      "unless until when while yield",
    constant: "true false nil self",
  },
  defines: { function: "def", type: "class module" },
  modes: {
    main: {
      rules: [
        HASH_COMMENT,
        ["", /<<[~-]["']?[A-Za-z_]\w*["']?/, "<<"],
        ...STRINGS,
        ["constant", /(?<!:):[A-Za-z_]\w*[?!]?|[a-z_]\w*:(?!:)/],
        ["property", /@{1,2}\w+|\$\w+/],
        ["word", /[A-Za-z_]\w*[?!]?/],
        ["number", NUMBER],
      ],
    },
    heredoc: { fill: "string", rules: [] },
  },
};
/** @type {LanguageTable} */
const yaml = {
  words: { constant: "true false null yes no on off" },
  modes: {
    main: {
      rules: [
        HASH_COMMENT,
        ["property", /(?<=^\s{0,99}(?:-\s{1,9}){0,9})(?:"[^"]*"|'[^']*'|[^\s"'#&*!\[\]{}|>%@-][^:#]{0,99}?)(?=:(?:\s|$))/],
        ["keyword", /^(?:---|\.\.\.)|(?<=[:-]\s)[|>][+-]?\d?$|(?<!\S)<<(?=:)/],
        ["type", /(?<!\S)(?:[&*]\w[\w-]*|!{1,2}\w*)/],
        ["string", /(?<![\w'])(?:"(?:[^"\\]|\\.)*"?|'[^']*'?)/],
        ["number", /(?<![\w.-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.:-])/],
        ["word", /[^\s,\[\]{}"']+/],
      ],
    },
  },
};
/** @type {LanguageTable} */
const toml = {
  words: { constant: "true false" },
  modes: {
    main: {
      rules: [
        ["comment", /[#;].*/],
        ["type", /^\s*\[.*\]/],
        ["property", /^\s*[\w."-]+(?=\s*=)/],
        ["string", /"""/, "+block"],
        ...STRINGS,
        ...WORDS,
      ],
    },
    block: BLOCK,
  },
};
/** @type {LanguageTable} */
const diff = {
  words: {},
  modes: { main: { rules: [["comment", /^(?:@@|diff |index |---|\+\+\+).*/], ["inserted", /^\+.*/], ["deleted", /^-.*/]] } },
};

/** By name in lower case, aliases behind it. @type {[LanguageTable, string][]} */
const TABLES = [
  [javascript, "javascript js jsx mjs cjs typescript ts tsx node"],
  [python, "python py python3 pycon"],
  [json, "json jsonc json5 jsonl"],
  [html, "html xml svg htm xhtml vue svelte"],
  [css, "css scss less"],
  [bash, "bash sh shell zsh console shell-session shellscript"],
  [sql, "sql postgresql postgres mysql sqlite plsql"],
  [cpp, "cpp c c++ cc h hpp objective-c arduino"],
  [java, "java"],
  [kotlin, "kotlin kt"],
  [csharp, "csharp c# cs"],
  [go, "go golang"],
  [rust, "rust rs"],
  [swift, "swift"],
  [php, "php"],
  [ruby, "ruby rb"],
  [yaml, "yaml yml"],
  [toml, "toml ini"],
  [diff, "diff patch"],
];

/** @type {Map<string, LanguageTable>} */
export const LANGUAGES = new Map(TABLES.flatMap(([table, names]) => names.split(" ").map((name) => [name, table])));
