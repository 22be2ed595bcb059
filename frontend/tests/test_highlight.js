import { createHighlighter } from "../js/markdown/highlight.js";
import { LANGUAGES } from "../js/markdown/languages.js";
import { equal, ok, test } from "./harness.js";

const NAMES = [
  "comment", "string", "number", "keyword", "constant", "function", "type", "property", "tag", "inserted", "deleted",
];

/** @returns {HTMLElement} */
function scroller() {
  const box = document.createElement("pre");
  box.style.cssText = "height: 400px; overflow: auto; font: 14px/20px monospace";
  document.body.append(box);
  return box;
}

/** @param {Element} box */
function newGroup(box) {
  const group = document.createElement("span");
  group.style.display = "block";
  const text = document.createTextNode("");
  group.append(text);
  box.append(group);
  return { group, text };
}

/**
 * Put the code into the box as the code view does: groups of 32 lines, grown piece by piece.
 *
 * @param {Element} box
 * @param {string} language
 * @param {Iterable<string>} pieces
 */
function write(box, language, pieces) {
  const highlighter = createHighlighter(language);
  let lines = 32;
  /** @type {{group: Element, text: Text}} */
  let last;
  for (const piece of pieces) {
    for (const part of piece.split(/(?<=\n)/)) {
      if (lines === 32) {
        last = newGroup(box);
        lines = 0;
      }
      // @ts-ignore assigned by the first part
      const { group, text } = last;
      text.appendData(part);
      highlighter?.grow(group, text);
      if (part.endsWith("\n")) lines++;
    }
  }
}

/** Wait until observers have told what is on the screen. */
async function settled() {
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
  await new Promise((resolve) => setTimeout(resolve));
}

/**
 * The ranges within the element, in the order of the text.
 *
 * @param {Element} element
 */
function pairs(element) {
  const found = [];
  for (const name of NAMES) {
    for (const range of CSS.highlights.get(`md-${name}`) ?? []) {
      const { startContainer, startOffset, endOffset } = range;
      if (!element.contains(startContainer)) continue;
      const before = document.createRange();
      before.setStart(element, 0);
      before.setEnd(startContainer, startOffset);
      const text = startContainer.textContent ?? "";
      found.push({ place: before.toString().length, pair: [name, text.slice(startOffset, endOffset)] });
    }
  }
  return found.sort((a, b) => a.place - b.place).map(({ pair }) => pair);
}

/** @param {Element} element */
const count = (element) => pairs(element).length;
const total = () => NAMES.reduce((sum, name) => sum + (CSS.highlights.get(`md-${name}`)?.size ?? 0), 0);

/**
 * @param {string} language
 * @param {string | string[]} code
 */
async function colours(language, code) {
  const box = scroller();
  box.style.height = "auto";
  write(box, language, typeof code === "string" ? [code] : code);
  await settled();
  const found = pairs(box);
  box.remove();
  await settled();
  return found.map(([kind, text]) => `${kind} ${text}`);
}

/**
 * By language a text, and what must have a colour in it. Pieces of a class that only blanks part are one.
 *
 * @type {Record<string, {code: string, colours: string[]}>}
 */
const SAMPLES = {
  python: {
    code: `# A comment, "quoted"
@app.get("/items/{id}")
async def read_item(id: int, q: str | None = None) -> dict:
    """First line
    second 'line'"""
    total = 0x1F + 3.14e-2
    if not q and id != 1_000:
        return {"id": id, f'it\\'s {q}': True}
    raise ValueError(rb"\\d")

class Point(Base):
    pass
`,
    colours: [
      "comment # A comment, \"quoted\"",
      "function @app.get",
      "string \"/items/{id}\"",
      "keyword async def",
      "function read_item",
      "type int",
      "type str",
      "constant None",
      "constant None",
      "type dict",
      "string \"\"\"First line\n    second 'line'\"\"\"",
      "number 0x1F",
      "number 3.14e-2",
      "keyword if not",
      "keyword and",
      "number 1_000",
      "keyword return",
      "string \"id\"",
      "string f'it\\'s {q}'",
      "constant True",
      "keyword raise",
      "string rb\"\\d\"",
      "keyword class",
      "type Point",
      "keyword pass",
    ],
  },
  typescript: {
    code: `// A comment
import { readFile } from "node:fs";
export async function load<T>(path: string): Promise<T> {
  const text = \`a \${path + \`b \${1 + { x: 2 }.x}\`} c
 more \${"}"}\`; /* block
  comment */ const pattern = /[/"]\\/x/gi;
  return a / b / c < d ? null : 0xffn;
}
class Box extends Base {}
const view = <Card title="x">text</Card>;
`,
    colours: [
      "comment // A comment",
      "keyword import",
      "keyword from",
      "string \"node:fs\"",
      "keyword export async function",
      "function load",
      "type string",
      "keyword const",
      "string `a ",
      "string `b ",
      "number 1",
      "number 2",
      "string `",
      "string  c\n more ",
      "string \"}\"",
      "string `",
      "comment /* block\n  comment */",
      "keyword const",
      "string /[/\"]\\/x/gi",
      "keyword return",
      "constant null",
      "number 0xffn",
      "keyword class",
      "type Box",
      "keyword extends",
      "type Base",
      "keyword const",
      "tag <Card",
      "string \"x\"",
      "tag </Card>",
    ],
  },
  json: {
    code: `{
  "name": "a \\"b\\"", "count": -1.5e3,
  "ok": true, "none": null, "list": ["x", 2]
}
`,
    colours: [
      "property \"name\"",
      "string \"a \\\"b\\\"\"",
      "property \"count\"",
      "number -1.5e3",
      "property \"ok\"",
      "constant true",
      "property \"none\"",
      "constant null",
      "property \"list\"",
      "string \"x\"",
      "number 2",
    ],
  },
  html: {
    code: `<!doctype html>
<!-- two
lines --><a href="x.html" hidden>R&amp;D</a>
<style>a > .b { color: #fff; }</style>
<script type="module">const x = 1; // no</script>
<br/>
`,
    colours: [
      "keyword <!doctype html>",
      "comment <!-- two\nlines -->",
      "tag <a",
      "property href",
      "string \"x.html\"",
      "property hidden",
      "tag >",
      "constant &amp;",
      "tag </a>\n<style>a",
      "type .b",
      "property color",
      "number #fff",
      "tag </style>\n<script",
      "property type",
      "string \"module\"",
      "tag >",
      "keyword const",
      "number 1",
      "comment // no",
      "tag </script>\n<br/>",
    ],
  },
  css: {
    code: `@media (min-width: 40rem) {
  .card:hover, #top > a::before {
    --gap: 4px; color: #a1b2c3;
    margin: -1.5em auto !important; /* why
    so */ content: "x";
    background: url(a.png);
  }
}
`,
    colours: [
      "keyword @media",
      "property min-width",
      "number 40rem",
      "type .card",
      "type #top",
      "property --gap",
      "number 4px",
      "property color",
      "number #a1b2c3",
      "property margin",
      "number -1.5em",
      "keyword !important",
      "comment /* why\n    so */",
      "property content",
      "string \"x\"",
      "property background",
      "string url(a.png)",
    ],
  },
  bash: {
    code: `#!/bin/sh
set -euo pipefail
greet() {
  local name="\${1:-world} and $USER"
  echo 'single $x' | grep -v "a b" # tail
}
for f in *.txt; do echo "$f"; done
cat <<'EOF' > out
not a keyword if "x
EOF
if true; then exit 1; fi
`,
    colours: [
      "comment #!/bin/sh",
      "keyword set",
      "property -euo",
      "function greet",
      "keyword local",
      "string \"",
      "property ${1:-world}",
      "string  and ",
      "property $USER",
      "string \"",
      "keyword echo",
      "string 'single $x'",
      "property -v",
      "string \"a b\"",
      "comment # tail",
      "keyword for",
      "keyword in",
      "keyword do echo",
      "string \"",
      "property $f",
      "string \"",
      "keyword done",
      "string not a keyword if \"x\nEOF",
      "keyword if",
      "constant true",
      "keyword then exit",
      "keyword fi",
    ],
  },
  sql: {
    code: `-- All of them
SELECT u.id, COUNT(*) FROM users u
WHERE u.name LIKE 'O''Brien%' AND age >= 18
/* two
lines */ order by 1 desc limit 10;
CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT NOT NULL);
`,
    colours: [
      "comment -- All of them",
      "keyword SELECT",
      "keyword FROM",
      "keyword WHERE",
      "keyword LIKE",
      "string 'O''Brien%'",
      "keyword AND",
      "number 18",
      "comment /* two\nlines */",
      "keyword order by",
      "number 1",
      "keyword desc limit",
      "number 10",
      "keyword CREATE TABLE",
      "type INTEGER",
      "keyword PRIMARY KEY",
      "type TEXT",
      "keyword NOT NULL",
    ],
  },
  java: {
    code: `package a.b;
/** Doc
 * more */
@Override
public final class Main extends Base {
    private static final char C = '\\n';
    int n = 10_000L;
    String text = """
        hello "x"
        """;
    return null;
}
`,
    colours: [
      "keyword package",
      "comment /** Doc\n * more */",
      "function @Override",
      "keyword public final class",
      "type Main",
      "keyword extends",
      "type Base",
      "keyword private static final",
      "type char",
      "string '\\n'",
      "type int",
      "number 10_000L",
      "type String",
      "string \"\"\"\n        hello \"x\"\n        \"\"\"",
      "keyword return",
      "constant null",
    ],
  },
  cpp: {
    code: `#include <stdio.h>
#define MAX 10
struct point { unsigned int x; };
int main(void) {
    char c = '\\'', *s = "a \\"b\\"";
    if (c == 0) return nullptr; // done
}
`,
    colours: [
      "keyword #include",
      "string <stdio.h>",
      "keyword #define",
      "number 10",
      "keyword struct",
      "type point",
      "type unsigned int",
      "type int",
      "type void",
      "type char",
      "string '\\''",
      "string \"a \\\"b\\\"\"",
      "keyword if",
      "number 0",
      "keyword return",
      "constant nullptr",
      "comment // done",
    ],
  },
  csharp: {
    code: `using System;
#region x
public record Person(string Name);
var s = $"Hi {name}" + @"C:\\";
async Task Go() => await Task.Delay(1.5f);
`,
    colours: [
      "keyword using",
      "keyword #region",
      "keyword public record",
      "type Person",
      "type string",
      "keyword var",
      "string \"Hi {name}\"",
      "string @\"C:\\\"",
      "keyword async",
      "keyword await",
      "number 1.5f",
    ],
  },
  go: {
    code: `package main
type Server struct { name string }
func (s *Server) Run(n int) error {
	q := \`raw
text\` + "x" // note
	return nil
}
func main() { for i := range 10 {} }
`,
    colours: [
      "keyword package",
      "keyword type",
      "type Server",
      "keyword struct",
      "type string",
      "keyword func",
      "function Run",
      "type int",
      "type error",
      "string `raw\ntext`",
      "string \"x\"",
      "comment // note",
      "keyword return",
      "constant nil",
      "keyword func",
      "function main",
      "keyword for",
      "keyword range",
      "number 10",
    ],
  },
  rust: {
    code: `#[derive(Debug)]
pub struct Point<'a> { x: &'a str, y: i32 }
impl Point { fn new() -> Self {
    let c = 'x'; let r = r#"raw "q"
more"#;
    let s = "two
lines"; println!("{}", s);
    match c { 'a'..='z' => Some(1u8), _ => None }
}}
`,
    colours: [
      "function #[derive(Debug)]",
      "keyword pub struct",
      "type Point",
      "property 'a",
      "property 'a",
      "type str",
      "type i32",
      "keyword impl",
      "type Point",
      "keyword fn",
      "function new",
      "type Self",
      "keyword let",
      "string 'x'",
      "keyword let",
      "string r#\"raw \"q\"\nmore\"#",
      "keyword let",
      "string \"two\nlines\"",
      "function println!",
      "string \"{}\"",
      "keyword match",
      "string 'a'",
      "string 'z'",
      "constant Some",
      "number 1u8",
      "constant None",
    ],
  },
  yaml: {
    code: `# comment
name: "quoted: #no"
on: [push, pull_request]
base: &base
  retries: 3
  - run: npm ci # why
    url: https://x.org/a#b
    ok: true
    <<: *base
`,
    colours: [
      "comment # comment",
      "property name",
      "string \"quoted: #no\"",
      "property on",
      "property base",
      "type &base",
      "property retries",
      "number 3",
      "property run",
      "comment # why",
      "property url",
      "property ok",
      "constant true",
      "property <<",
      "type *base",
    ],
  },
  kotlin: {
    code: `data class User(val name: String)
fun main() { println("hi") }
`,
    colours: [
      "keyword data class",
      "type User",
      "keyword val",
      "type String",
      "keyword fun",
      "function main",
      "string \"hi\"",
    ],
  },
  php: {
    code: `<?php
# note
class A { public function b() { return $this->x . 'y'; } }
`,
    colours: [
      "keyword <?php",
      "comment # note",
      "keyword class",
      "type A",
      "keyword public function",
      "function b",
      "keyword return",
      "property $this",
      "string 'y'",
    ],
  },
  ruby: {
    code: `class Dog < Animal
  def bark?(x) # woof
    puts "a", :sym, @age if nil
    s = <<~SQL
      select if
    SQL
  end
end
`,
    colours: [
      "keyword class",
      "type Dog",
      "keyword def",
      "function bark?",
      "comment # woof",
      "string \"a\"",
      "constant :sym",
      "property @age",
      "keyword if",
      "constant nil",
      "string       select if\n    SQL",
      "keyword end\nend",
    ],
  },
  diff: {
    code: `@@ -1 +1 @@
-old
+new
 same
`,
    colours: [
      "comment @@ -1 +1 @@",
      "deleted -old",
      "inserted +new",
    ],
  },
  toml: {
    code: `[tool.x] # c
name = "a"
n = 3
`,
    colours: [
      "type [tool.x]",
      "comment # c",
      "property name",
      "string \"a\"",
      "property n",
      "number 3",
    ],
  },
};

for (const [language, sample] of Object.entries(SAMPLES)) {
  test(`${language}: its words, texts and remarks have their colours`, async () => {
    equal(await colours(language, sample.code), sample.colours);
  });

  test(`${language}: character by character comes to the same`, async () => {
    equal(await colours(language, [...sample.code]), sample.colours);
  });
}

test("no rule has a group of its own: groups tell the rules apart", () => {
  for (const [name, { modes }] of LANGUAGES) {
    for (const { rules } of Object.values(modes)) {
      for (const [, { source }] of rules) equal([name, source, new RegExp(`${source}|`).exec("")?.length], [name, source, 1]);
    }
  }
});

test("every move of a rule leads to a mode that is there", () => {
  for (const [name, { modes }] of LANGUAGES) {
    for (const { rules } of Object.values(modes)) {
      for (const [, , move = "-"] of rules) {
        const target = move === "<<" ? "heredoc" : move.slice(1);
        ok(!target || target in modes, `${name}: no mode ${target}`);
      }
    }
  }
});

test("aliases and capitals are known, other languages are not", () => {
  for (const name of ["JS", "tsx", "C#", "c++", "sh", "YML", "golang", "rs"]) ok(createHighlighter(name), name);
  equal([createHighlighter("klingon"), createHighlighter(""), createHighlighter("constructor")], [null, null, null]);
});

test("without the API there is no highlighter", () => {
  const property = Object.getOwnPropertyDescriptor(CSS, "highlights");
  ok(property);
  // @ts-ignore deleting is what this is about
  delete CSS.highlights;
  equal(createHighlighter("python"), null);
  Object.defineProperty(CSS, "highlights", /** @type {PropertyDescriptor} */ (property));
  ok(createHighlighter("python"));
});

test("a line goes on over an element between two text nodes", async () => {
  const box = scroller();
  const { group, text } = newGroup(box);
  const highlighter = createHighlighter("python");
  text.data = 'x = "one';
  highlighter?.grow(group, text);
  const invisible = document.createElement("span");
  invisible.textContent = "U+200B";
  const rest = document.createTextNode(' if" + 1\n');
  group.append(invisible, rest);
  highlighter?.grow(group, rest);
  await settled();
  equal(pairs(box), [["string", '"one'], ["string", ' if"'], ["number", "1"]]);
  box.remove();
});

test("an unfinished word that went with the line before is taken out of it", async () => {
  equal(await colours("python", ["if\n", "in", "t"]), ["keyword if", "type int"]);
});

test("what was taken back of the last line is forgotten", async () => {
  const box = scroller();
  const { group, text } = newGroup(box);
  const highlighter = createHighlighter("python");
  const grow = () => {
    for (const node of group.childNodes) if (node instanceof Text) highlighter?.grow(group, node);
  };
  text.data = "x = 1\n'''";
  grow();
  text.deleteData(6, 3);
  text.appendData("if 2:\n'one");
  grow();
  const invisible = document.createElement("span");
  const rest = document.createTextNode("' if");
  group.append(invisible, rest);
  grow();
  rest.appendData(" 3");
  grow();
  rest.remove();
  invisible.remove();
  text.appendData("'\nif");
  grow();
  await settled();
  equal(pairs(box), [
    ["number", "1"],
    ["keyword", "if"],
    ["number", "2"],
    ["string", "'one'"],
    ["keyword", "if"],
  ]);
  box.remove();
});

test("only groups on the screen have ranges, and they come back", async () => {
  const box = scroller();
  write(box, "python", Array.from({ length: 5000 }, (_, i) => `if x${i} == "${i}": return ${i}\n`));
  ok(total() < 64 * 5, `${total()} ranges before the first frame`);
  await settled();
  ok(count(box.children[0] ?? box) > 0, "the first lines are plain");
  ok(total() < 64 * 5, `${total()} ranges`);
  box.scrollTop = box.scrollHeight;
  await settled();
  equal(count(box.children[0] ?? box), 0);
  ok(count(box.lastElementChild ?? box) > 0, "the last lines are plain");
  ok(total() < 64 * 5, `${total()} ranges`);
  box.scrollTop = 0;
  await settled();
  ok(count(box.children[0] ?? box) > 0, "the first lines have become plain");
  box.remove();
});

test("a block that is taken out leaves nothing", async () => {
  await settled();
  const before = total();
  const box = scroller();
  write(box, "json", ['{"a": 1}\n']);
  await settled();
  ok(total() > before);
  box.remove();
  await settled();
  equal(total(), before);
});

test("a line that is too long is plain, and the next is not", async () => {
  equal(await colours("python", `x = "${"a".repeat(3000)}"\nif 1: pass\n`), ["keyword if", "number 1", "keyword pass"]);
});

/** @type {[string, string, string][]} */
const HOSTILE = [
  ["a long line that grows", "javascript", "/[a`${<!--"],
  ["open brackets", "javascript", "`${{\n"],
  ["open texts", "python", '"""\n\'\'\'\n"\n'],
  ["regular expressions without an end", "typescript", `${"=/[".repeat(600)}\n`],
  ["tags without an end", "html", `${"<a b='<script ".repeat(130)}\n`],
  ["declarations without an end", "css", `{${"a:".repeat(900)}\n`],
  ["keys without an end", "yaml", `${"- a".repeat(600)}\n`],
  ["escapes", "json", `"${'\\\\"'.repeat(600)}\n`],
  ["spaces", "bash", `${"<< $ ".repeat(390)}\n`],
];

for (const [name, language, unit] of HOSTILE) {
  test(`hostile input takes linear time: ${name}`, () => {
    /** @param {number} length */
    const spent = (length) => {
      const text = unit.repeat(Math.ceil(length / unit.length));
      const pieces = text.match(/[^]{1,1000}/g) ?? [];
      const box = document.createElement("pre");
      const begin = performance.now();
      write(box, language, pieces);
      return performance.now() - begin;
    };
    // Four times the text takes 4 times as long, or 16 times if it is quadratic. Others use the processor too: the
    // least of a few counts.
    let [once, fourfold] = [Infinity, Infinity];
    for (let round = 0; round < 30 && (round < 2 || fourfold > 8 * once); round++) {
      once = Math.min(once, spent(20_000));
      fourfold = Math.min(fourfold, spent(80_000));
    }
    ok(fourfold < 8 * once + 2, `${once} ms, then ${fourfold} ms`);
  });
}

/** Put the page's own style sheets into the document; returns what takes them away. */
async function styled() {
  const sheets = ["theme", "markdown"].map((name) => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = `../styles/${name}.css`;
    return link;
  });
  document.head.append(...sheets);
  await Promise.all(sheets.map((sheet) => new Promise((resolve) => (sheet.onload = resolve))));
  return () => sheets.forEach((sheet) => sheet.remove());
}

/** @param {string} colour as `rgb(…)` */
const channels = (colour) => (colour.match(/\d+/g) ?? []).map(Number);

/** Relative luminance, as in WCAG 2. @param {string} colour */
function luminance(colour) {
  const [r = 0, g = 0, b = 0] = channels(colour)
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {string} one @param {string} other */
function contrast(one, other) {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

test("each colour can be read in both themes; what is inserted is green, what is deleted is red", async () => {
  const plain = await styled();
  const root = document.documentElement;
  const box = document.createElement("p");
  document.body.append(box);
  const colourOf = (/** @type {string} */ name) => getComputedStyle(box, `::highlight(md-${name})`).color;
  for (const theme of ["light", "dark"]) {
    root.dataset.theme = theme;
    for (const ground of ["--code", "--paper"]) {
      box.style.background = `var(${ground})`;
      const { backgroundColor } = getComputedStyle(box);
      for (const name of NAMES) {
        const found = contrast(colourOf(name), backgroundColor);
        ok(found >= 4.5, `${name} on ${ground}, ${theme}: ${found.toFixed(2)}`);
        ok(colourOf(name) !== getComputedStyle(box).color, `${name} has no colour`);
      }
    }
    const [red = 0, green = 0, blue = 0] = channels(colourOf("inserted"));
    ok(green > red && green > blue, colourOf("inserted"));
    const [r = 0, g = 0, b = 0] = channels(colourOf("deleted"));
    ok(r > g && r > b && r - b > 60, colourOf("deleted"));
  }
  delete root.dataset.theme;
  box.remove();
  plain();
});
