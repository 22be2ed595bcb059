import { newAnswer } from "../js/answer.js";
import { createRenderer } from "../js/markdown/index.js";
import { Store, defaultSettings, newId } from "../js/store.js";
import { Refused, exportFile, importFile, readFile } from "../js/transfer/index.js";
import { closed } from "../js/transfer/markdown.js";
import { Tree } from "../js/tree.js";
import * as ar from "../js/words/transfer/ar.js";
import * as en from "../js/words/transfer/en.js";
import { equal, ok, rejection, test } from "./harness.js";

/**
 * @typedef {import("../js/transfer/index.js").Whole} Whole
 * @typedef {import("../js/answer.js").Answer} Answer
 */

const NOW = Date.UTC(2026, 10, 25, 12);

/** @type {import("../js/transfer/markdown.js").MarkdownWords} */
const WORDS = {
  you: "You",
  model: "Burble",
  system: "System prompt",
  thought: "Thought",
  ending: ({ end }) => (end?.kind === "stop" ? null : { text: `It is ${end?.kind}.` }),
  date: (time) => new Date(time).toISOString().slice(0, 10),
};

/** A store of its own, which is gone after the test. @param {(store: Store) => unknown} body */
async function withStore(body) {
  const name = `test ${newId()}`;
  const store = new Store(name);
  await store.open();
  try {
    await body(store);
  } finally {
    store.close();
    indexedDB.deleteDatabase(name);
  }
}

/** @param {Store} store @returns {Promise<Whole[]>} all that it keeps, in the order of the ids */
async function kept(store) {
  const conversations = (await store.conversations()).sort((a, b) => (a.id < b.id ? -1 : 1));
  const whole = [];
  for (const conversation of conversations) whole.push({ conversation, messages: await store.messages(conversation.id) });
  return whole;
}

/** @param {string} id @param {Partial<import("../js/store.js").Conversation>} [changes] */
function conversation(id, changes) {
  return {
    id,
    title: `About ${id}`,
    pinned: false,
    createdAt: NOW - 5000,
    updatedAt: NOW - 1000,
    head: `${id}-a`,
    settings: defaultSettings(),
    outbox: [],
    deletedAt: null,
    ...changes,
  };
}

/** @param {string} conversation @param {string} id @param {string | null} parent @param {string} content */
function question(conversation, id, parent, content, at = NOW - 4000) {
  return { id, conversation, parent, createdAt: at, role: /** @type {const} */ ("user"), content };
}

/** @param {string} conversation @param {string} id @param {string} parent @param {string} content @param {Partial<Answer>} [changes] */
function answer(conversation, id, parent, content, changes) {
  const made = newAnswer({ id, conversation, parent, think: false });
  return {
    ...made,
    createdAt: NOW - 3000,
    content,
    phase: /** @type {const} */ ("answering"),
    figures: { ...made.figures, askedAt: NOW - 3000 },
    end: /** @type {const} */ ({ kind: "stop" }),
    ...changes,
  };
}

/** @param {string} id @param {Partial<import("../js/store.js").Conversation>} [changes] @returns {Whole} */
function whole(id, changes) {
  return {
    conversation: conversation(id, changes),
    messages: [question(id, `${id}-q`, null, "Why?"), answer(id, `${id}-a`, `${id}-q`, "Because.")],
  };
}

/** @returns {Whole} one with all that there can be */
function rich() {
  const id = "rich";
  return {
    conversation: conversation(id, {
      title: "Größe: 日本語 👩‍🚀 \"<b>\"",
      pinned: true,
      head: "a2",
      settings: { think: true, system: "Be kind.", model: "m", temperature: 0.5, topP: 0.9, maxTokens: 100 },
    }),
    messages: [
      question(id, "q1", null, "One\n```\n", NOW - 9000),
      answer(id, "a1", "q1", "First", {
        createdAt: NOW - 8000,
        think: true,
        thinking: "Hm.",
        thinkingSince: NOW - 7900,
        thinkingMs: 800,
        model: "m",
        runs: 2,
        leftOut: 3,
        finishReason: "stop",
        figures: {
          askedAt: NOW - 8000,
          firstTokenMs: 12.5,
          lastTokenAt: NOW - 7000,
          writingMs: 400,
          tokens: 17,
          interrupted: true,
          usage: { prompt: 5, completion: 17 },
        },
      }),
      answer(id, "a2", "q1", "Second", { createdAt: NOW - 6000, end: { kind: "failed", code: "timeout", message: "Silent." } }),
      question(id, "q2", "a1", "Two", NOW - 5000),
      answer(id, "a3", "q2", "", { createdAt: NOW - 4000, end: { kind: "stopped" }, finishReason: "cancelled" }),
    ],
  };
}

/** @param {Whole[]} conversations */
async function burbleFile(...conversations) {
  const { parts } = await exportFile(conversations, "json", { words: WORDS, now: NOW });
  return new Blob(parts);
}

/** @param {unknown} json */
function jsonFile(json) {
  return new Blob([typeof json === "string" ? json : JSON.stringify(json)]);
}

/** One conversation as the JSON of our file, changed. @param {(from: any) => void} change @param {Whole} [of] */
async function changedFile(change, of = whole("c1")) {
  const json = JSON.parse(await (await burbleFile(of)).text());
  change(json);
  return jsonFile(json);
}

/** @param {string} name */
async function fixture(name) {
  return (await fetch(new URL(`./fixtures/transfer/${name}`, import.meta.url))).blob();
}

/** The path that is shown, in short. @param {Whole} whole */
function shown({ conversation, messages }) {
  return new Tree(messages).path(conversation.head).map(({ role, content }) => `${role[0]}: ${content}`);
}

/** @param {string} name @returns {Promise<[Whole, Whole]>} the first two conversations of a file in which nothing is wrong */
async function readFixture(name) {
  const { conversations, refused } = await readFile(await fixture(name));
  equal(refused, []);
  return /** @type {[Whole, Whole]} */ (conversations);
}

test("what is exported comes back as the same records", () =>
  withStore(async (store) => {
    const all = [rich(), whole("c1")];
    equal(await importFile(store, await burbleFile(...all)), {
      source: "Burble",
      taken: { conversations: 2, messages: 7 },
      known: 0,
      refused: [],
    });
    equal(await kept(store), [all[1], all[0]]);
  }));

test("every field of an answer is exported, but for what belongs to its running", async () => {
  const { messages } = rich();
  const json = JSON.parse(await (await burbleFile(rich())).text());
  const left = new Set(Object.keys(json.conversations[0].messages[1]));
  const missing = Object.keys(messages[1] ?? {}).filter((name) => !left.has(name));
  equal(missing, ["conversation", "phase", "position", "percent", "generation", "lastEventId"]);
  equal([json.format, json.version, json.exportedAt], ["burble", 1, NOW]);
});

test("an answer that runs is taken away as far as it is", async () => {
  const running = whole("c1");
  Object.assign(/** @type {Answer} */ (running.messages[1]), { end: null, running: 1, generation: "secret", lastEventId: "7" });
  const text = await (await burbleFile(running)).text();
  ok(!text.includes("secret") && !text.includes("running"));
  const [read] = (await readFile(jsonFile(text))).conversations;
  equal(/** @type {Answer} */ (read?.messages[1]).end, { kind: "cut" });
  equal(/** @type {Answer} */ (read?.messages[1]).generation, "");
});

test("drafts and what waits to be sent stay here", async () => {
  const waiting = whole("c1", { outbox: [{ id: "w", content: "later", think: false }] });
  ok(!(await (await burbleFile(waiting)).text()).includes("later"));
});

for (const name of ["chatgpt.json", "open_webui.json", "open_webui_plain.json", "llama_cpp.json", "llama_cpp.jsonl"]) {
  test(`what is imported from ${name} is whole, and importing it again adds nothing`, () =>
    withStore(async (store) => {
      const first = await importFile(store, await fixture(name));
      equal(first.refused, []);
      ok(first.taken.messages > 0);
      const before = await kept(store);
      for (const { conversation, messages } of before) {
        // As the store has them, and as our own format asks: it reads what it wrote of them.
        equal((await readFile(await burbleFile({ conversation, messages }))).conversations, [{ conversation, messages }]);
        const roles = new Tree(messages).path(conversation.head).map(({ role }) => role);
        ok(roles.every((role, index) => role === (index % 2 === 0 ? "user" : "assistant")));
        ok(messages.every(({ createdAt }) => createdAt > Date.UTC(2025, 0) && createdAt < Date.UTC(2026, 0)));
      }
      const again = await importFile(store, await fixture(name));
      equal([again.taken, again.known], [{ conversations: 0, messages: 0 }, before.length]);
      equal(await kept(store), before);
    }));
}

test("ChatGPT's tree, thoughts and tools become questions and answers", async () => {
  const [first, second] = await readFixture("chatgpt.json");
  equal(shown(first), ["u: [image]\n\nHow do I make her fast to a ring?", "a: Or with a *clove hitch*."]);
  const [asked, thought] = /** @type {[Answer, Answer]} */ (first.messages);
  equal([thought.parent, new Tree(first.messages).siblings(thought).length], [asked.id, 2]);
  equal(thought.content, "With a round turn and two half hitches.");
  equal(
    thought.thinking,
    '**Choosing a knot**\n\nA ring needs a hitch.\n\n`web.run`\n\n````\n```\nsearch("round turn")\n```\n````\n\n' +
      "`web.run`\n\n```\nTwo turns, two half hitches.\n```",
  );
  equal([thought.thinkingMs, thought.model, thought.end], [3000, "example-5-thinking", { kind: "stop" }]);
  equal(first.conversation.title, "Knots for a small boat");
  equal(first.conversation.id, "chatgpt-6f0c1d2e-0000-4000-8000-000000000001");
  equal([first.conversation.createdAt, first.conversation.updatedAt], [1760000000250, 1760000090500]);
  ok(!JSON.stringify(first).includes("Never shown"));
  // A question without an answer has one that can be asked for again.
  equal([second.conversation.title, shown(second)], ["Is anybody there?", ["u: Is anybody there?\nHello?", "a: "]]);
  equal(/** @type {Answer} */ (second.messages[1]).end, { kind: "cut" });
});

test("Open WebUI's branches, reasoning and errors become answers", async () => {
  const [only] = await readFixture("open_webui.json");
  equal(shown(only), ["u: Name a star.\n\n[file: sky.txt]", "a: Vega.", "u: And a planet?", "a: "]);
  const [, vega, deneb, , failed] = /** @type {Answer[]} */ (only.messages);
  equal(vega?.thinking, 'Which one is bright?\n\nIs Vega > Deneb? "Yes."');
  equal([vega?.thinkingMs, vega?.model, deneb?.content, deneb?.parent], [2000, "example:8b", "Deneb.", vega?.parent]);
  equal(failed?.end, { kind: "failed", code: "imported", message: "The model is not there." });
  equal([only.conversation.pinned, only.conversation.settings.system], [true, "Be brief."]);
  const [plain] = await readFixture("open_webui_plain.json");
  equal([plain.conversation.title, shown(plain)], ["Old form", ["u: Ping?", "a: Pong."]]);
});

test("llama.cpp's branches, reasoning and files become questions and answers, from JSON and from lines", async () => {
  const [json] = await readFixture("llama_cpp.json");
  const [lines] = await readFixture("llama_cpp.jsonl");
  equal(json, lines);
  equal(shown(json), ["u: How long does it rise?\n\nrecipe.txt\n```\nFlour, water.\n```\n\n[dough.png]", "a: Two hours."]);
  const [, , newer] = /** @type {Answer[]} */ (json.messages);
  equal([newer?.thinking, newer?.figures.tokens, newer?.figures.writingMs], ["It is cold there.", 12, 400]);
  equal([json.messages.length, json.conversation.settings.system], [3, "You are a baker."]);
});

test("messages of one side that follow each other are one, in each branch", async () => {
  const node = (/** @type {string} */ id, /** @type {string | null} */ parentId, /** @type {string} */ role) => [
    id,
    { id, parentId, role, content: `<${id}>`, timestamp: 1760000000 },
  ];
  const messages = Object.fromEntries([
    node("s", null, "system"),
    node("u1", "s", "user"),
    node("u2", "u1", "user"),
    node("s2", "u2", "system"),
    node("a1", "s2", "assistant"),
    node("t", "a1", "tool"),
    node("a2", "t", "assistant"),
    node("a3", "a1", "assistant"),
    node("u3", "a1", "user"),
  ]);
  const { conversations } = await readFile(jsonFile([{ id: "x", chat: { history: { messages, currentId: "a2" } } }]));
  const [only] = /** @type {[Whole]} */ (conversations);
  equal(only.conversation.settings.system, "<s>");
  equal(shown(only), ["u: <u1>\n\n<u2>\n\n[system]\n\n<s2>", "a: <a1>\n\n<a2>"]);
  const tree = new Tree(only.messages);
  const [root] = only.messages;
  equal(tree.path("open-webui-x-a2").length, 2);
  equal(
    only.messages.filter(({ parent }) => parent === root?.id).map(({ content }) => content),
    ["<a1>", "<a1>\n\n<a3>", "<a1>\n\n<a2>"],
  );
  equal(tree.get("open-webui-x-u3")?.parent, "open-webui-x-a1");
});

test("a newer export of a conversation adds what is new in it, and shows it where nothing else was gone on with", () =>
  withStore(async (store) => {
    const full = JSON.parse(await (await fixture("llama_cpp.json")).text());
    await importFile(store, jsonFile(full));
    const more = (/** @type {string} */ id, /** @type {string} */ parent, /** @type {string} */ role) =>
      full.messages.push({ id, parent, role, type: "text", content: id, timestamp: 1760000009000 });
    more("m5", "m4", "user");
    more("m6", "m5", "assistant");
    full.conv.currNode = "m6";
    full.conv.lastModified += 9000;
    const report = await importFile(store, jsonFile(full));
    equal([report.taken, report.known], [{ conversations: 0, messages: 2 }, 1]);
    const [only] = /** @type {[Whole]} */ (await kept(store));
    equal(shown(only).slice(-2), ["u: m5", "a: m6"]);
    equal(only.conversation.updatedAt, full.conv.lastModified);
    // The reader has gone elsewhere: that stays.
    await store.update(only.conversation.id, (each) => (each.head = `${only.conversation.id}-m3`));
    more("m7", "m6", "user");
    more("m8", "m7", "assistant");
    full.conv.currNode = "m8";
    equal((await importFile(store, jsonFile(full))).taken.messages, 2);
    equal((await store.conversation(only.conversation.id))?.head, `${only.conversation.id}-m3`);
  }));

test("what a reader changed here stays, and what was deleted comes back", () =>
  withStore(async (store) => {
    const file = await burbleFile(whole("c1"));
    await importFile(store, file);
    await store.update("c1", (each) => Object.assign(each, { title: "Mine", deletedAt: NOW }));
    const report = await importFile(store, file);
    equal([report.taken.conversations, report.known], [0, 1]);
    equal((await store.conversation("c1"))?.title, "Mine");
    equal((await store.conversation("c1"))?.deletedAt, null);
  }));

/** Files that are wrong as a whole, each with its reason. @type {[string, string, () => Blob | Promise<Blob>][]} */
const WRONG_FILES = [
  ["nothing", "empty", () => jsonFile("")],
  ["white space", "empty", () => jsonFile(" \n ")],
  ["a text", "notJson", () => jsonFile("Dear diary, …")],
  ["a page", "notJson", () => jsonFile("<!doctype html><p>Hello</p>")],
  ["a picture", "notText", () => new Blob([new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0xff])])],
  ["JSON that ends too early", "cutOff", async () => (await burbleFile(whole("c1"))).slice(0, 400)],
  ["one that ends within a character", "notText", () => new Blob(['[{"title": "', new Uint8Array([0xe6, 0x97])])],
  ["JSON of something else", "unknown", () => jsonFile({ name: "package", version: "1.0.0" })],
  ["a number", "unknown", () => jsonFile("7")],
  ["an empty list", "unknown", () => jsonFile("[]")],
  ["a list of lists, nested deeply", "unknown", () => jsonFile("[".repeat(200_000) + "]".repeat(200_000))],
  ["our format of a later version", "newer", () => changedFile((json) => (json.version = 2))],
  ["our format of no version", "unknown", () => changedFile((json) => delete json.version)],
  ["our format without conversations", "unknown", () => changedFile((json) => (json.conversations = { a: 1 }))],
  ["an empty export of ours", "unknown", () => burbleFile()],
  ["more conversations than can be listed", "tooMany", () => jsonFile(`{"format":"burble","version":1,"conversations":[${"0,".repeat(20_000)}0]}`)],
  ["lines of JSON that are others", "unknown", () => jsonFile('{"a": 1}\n{"a": 2}\n')],
  ["a ZIP of something else", "zip", () => zip({ "chat.html": "<p>" })],
  ["a ZIP that ends too early", "zipBroken", async () => (await zip({ "conversations.json": "[]" })).slice(0, 60)],
  ["a ZIP that lies about its size", "zipBroken", () => zip({ "conversations.json": " ".repeat(5000) }, { size: 10 })],
  ["a ZIP with less than it says", "zipBroken", () => zip({ "conversations.json": "[]" }, { size: 5000 })],
  ["a ZIP that would fill the memory", "tooLarge", () => zip({ "conversations.json": "[]" }, { size: 0xfffffff0 })],
  ["a ZIP of broken data", "zipBroken", () => zip({ "conversations.json": "[]" }, { garbage: true })],
  ["an encrypted ZIP", "zipBroken", () => zip({ "conversations.json": "[]" }, { flags: 1 })],
  ["a file that is gone", "unreadable", () => unreadable()],
  ["an enormous file", "tooLarge", () => Object.defineProperty(jsonFile("[]"), "size", { value: 3e9 })],
];

function unreadable() {
  const gone = jsonFile("[]");
  gone.slice = () => {
    throw new DOMException("gone", "NotFoundError");
  };
  return gone;
}

for (const [name, reason, file] of WRONG_FILES) {
  test(`refused as a whole: ${name}`, () =>
    withStore(async (store) => {
      await store.take([whole("here")]);
      const before = await kept(store);
      const error = await rejection(importFile(store, await file()));
      ok(error instanceof Refused, String(error));
      equal(error.reason, reason);
      equal(await kept(store), before);
    }));
}

/** What can be wrong with one conversation of ours. @type {[string, string, (conversation: any) => void][]} */
const WRONG_CONVERSATIONS = [
  ["an id that is a path", "id", (c) => (c.id = "../../etc")],
  ["an id that objects have", "id", (c) => (c.id = "__proto__")],
  ["no id", "id", (c) => delete c.id],
  ["a long id", "id", (c) => (c.id = "x".repeat(10_000))],
  ["a message without an id", "id", (c) => delete c.messages[0].id],
  ["a text that is none", "text", (c) => (c.messages[0].content = { toString: "x" })],
  ["an answer's text that is none", "text", (c) => (c.messages[1].content = ["a"])],
  ["thinking that is none", "text", (c) => (c.messages[1].thinking = 7)],
  ["an unknown role", "role", (c) => (c.messages[0].role = "root")],
  ["a time that is none", "time", (c) => (c.createdAt = "yesterday")],
  ["a time before all", "time", (c) => (c.updatedAt = -1)],
  ["a time after all", "time", (c) => (c.messages[0].createdAt = 8.64e15)],
  ["a time that is no number", "time", (c) => (c.messages[1].createdAt = null)],
  ["a missing parent", "parent", (c) => (c.messages[1].parent = "nobody")],
  ["messages in a circle", "cycle", (c) => (c.messages[0].parent = c.messages[1].id)],
  ["a message that follows itself", "cycle", (c) => (c.messages[1].parent = c.messages[1].id)],
  ["two messages with one id", "twice", (c) => c.messages.push(c.messages[0])],
  ["no messages", "nothing", (c) => (c.messages = [])],
  ["messages that are no list", "shape", (c) => (c.messages = { 0: c.messages[0] })],
  ["a message that is none", "shape", (c) => (c.messages[0] = null)],
  ["figures that are none", "shape", (c) => (c.messages[1].figures.tokens = "many")],
  ["an answer with no end", "shape", (c) => (c.messages[1].end = null)],
  ["an unknown end", "shape", (c) => (c.messages[1].end = { kind: "constructor" })],
  ["an error without words", "text", (c) => (c.messages[1].end = { kind: "failed", code: 1 })],
  ["no settings", "settings", (c) => delete c.settings],
  ["a wild temperature", "settings", (c) => (c.settings.temperature = 900)],
];

for (const [name, reason, change] of WRONG_CONVERSATIONS) {
  test(`refused alone: ${name}`, () =>
    withStore(async (store) => {
      const file = await changedFile((json) => {
        json.conversations.push(JSON.parse(JSON.stringify(json.conversations[0]).replaceAll("c1", "c2")));
        change(json.conversations[0]);
      });
      const report = await importFile(store, file);
      equal(report.refused, [{ which: 1, title: "About c1", reason }]);
      // The other one is taken.
      equal(await kept(store), [whole("c2")]);
    }));
}

test("what is no conversation at all is refused, without a title", async () => {
  const { refused, conversations } = await readFile(await changedFile((json) => json.conversations.push(7, null, [[]], { title: {} })));
  equal(conversations.length, 1);
  equal(refused, [2, 3, 4].map((which) => ({ which, title: "", reason: "shape" })).concat({ which: 5, title: "", reason: "id" }));
});

test("a conversation that is there twice, or has another's message, is taken once", async () => {
  const other = whole("c2");
  other.messages = whole("c1").messages.map((message) => ({ ...message, conversation: "c2" }));
  const { refused, conversations } = await readFile(await burbleFile(whole("c1"), whole("c1"), other));
  equal(conversations, [whole("c1")]);
  equal(refused.map(({ which, reason }) => [which, reason]), [[2, "twice"], [3, "twice"]]);
});

test("what objects have is only a name in a file", async () => {
  const text = (await (await burbleFile(whole("c1"))).text()).replace('"pinned":false', '"__proto__":{"polluted":1},"pinned":false');
  const { conversations } = await readFile(jsonFile(text));
  equal(conversations, [whole("c1")]);
  equal([/** @type {any} */ (conversations[0])?.conversation.polluted, /** @type {any} */ ({}).polluted], [undefined, undefined]);
  const mapping = `{"__proto__": {"id": "__proto__", "parent": null, "children": ["constructor"], "message":
    {"author": {"role": "user"}, "content": {"parts": ["a"]}}}, "constructor": {"id": "constructor", "parent": "__proto__",
    "message": {"author": {"role": "assistant"}, "content": {"parts": ["b"]}}}}`;
  const foreign = await readFile(jsonFile(`[{"id": "__proto__", "title": "T", "mapping": ${mapping}, "current_node": "constructor"}]`));
  equal(foreign.conversations.map(shown), [["u: a", "a: b"]]);
});

test("half a character is replaced, and no reason to refuse words", async () => {
  const file = await changedFile((json) => (json.conversations[0].messages[0].content = "a\ud83d b \ude80 🚀"));
  const { conversations } = await readFile(file);
  equal(conversations[0]?.messages[0]?.content, "a\ufffd b \ufffd 🚀");
});

/** What can be wrong with another program's conversation. @type {[string, string, unknown][]} */
const WRONG_FOREIGN = [
  ["ChatGPT, a missing parent", "parent", [{ id: "x", title: "T", mapping: { a: { parent: "b", message: null } } }]],
  ["ChatGPT, a circle", "cycle", [{ id: "x", title: "T", mapping: { a: { parent: "b" }, b: { parent: "a" } } }]],
  ["ChatGPT, an unknown role", "role", [{ id: "x", title: "T", mapping: { a: { message: { author: { role: "root" }, content: { parts: ["a"] } } } } }]],
  ["ChatGPT, no author", "role", [{ id: "x", title: "T", mapping: { a: { message: { content: { parts: ["a"] } } } } }]],
  ["ChatGPT, a part that is none", "text", [{ id: "x", title: "T", mapping: { a: { message: { author: { role: "user" }, content: { parts: [7] } } } } }]],
  ["ChatGPT, nothing in it", "nothing", [{ id: "x", title: "T", mapping: {} }]],
  ["ChatGPT, no id", "id", [{ title: "T", mapping: { a: { message: { author: { role: "user" }, content: { parts: ["a"] } } } } }]],
  ["Open WebUI, a text that is none", "text", [{ id: "x", title: "T", chat: { history: { messages: { a: { role: "user", content: 7 } } } } }]],
  ["Open WebUI, a message that is none", "shape", [{ id: "x", title: "T", chat: { history: { messages: { a: "text" } } } }]],
  ["llama.cpp, two messages with one id", "twice", { conv: { id: "x", name: "T" }, messages: [0, 1].map(() => ({ id: "a", role: "user", content: "a" })) }],
  ["llama.cpp, messages that are no list", "shape", { conv: { id: "x", name: "T" }, messages: "all" }],
];

for (const [name, reason, json] of WRONG_FOREIGN) {
  test(`refused alone: ${name}`, () =>
    withStore(async (store) => {
      const report = await importFile(store, jsonFile(json));
      equal(report.refused, [{ which: 1, title: "T", reason }]);
      equal([report.taken, await kept(store)], [{ conversations: 0, messages: 0 }, []]);
    }));
}

test("what is nested deeply within a message does no harm", async () => {
  const calls = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const text = `{"conv": {"id": "x"}, "messages": [{"id": "a", "role": "assistant", "content": "a", "toolCalls": ${calls}}]}`;
  const { conversations, refused } = await readFile(jsonFile(text));
  // Whether the browser can write such a thing again is its own affair.
  equal(conversations.length + refused.length, 1);
});

test("branches that would repeat a text without end are refused", async () => {
  /** @type {Record<string, object>} */
  const messages = { u: { parentId: null, role: "user", content: "u" } };
  for (let index = 0, parentId = "u"; index < 1000; index += 1) {
    messages[`a${index}`] = { parentId, role: "assistant", content: "a".repeat(1000) };
    parentId = `a${index}`;
    messages[`u${index}`] = { parentId, role: "user", content: "u" };
  }
  const { refused } = await readFile(jsonFile([{ id: "x", title: "T", chat: { history: { messages } } }]));
  equal(refused, [{ which: 1, title: "T", reason: "tangled" }]);
});

test("times of others that cannot be believed are no reason to refuse words", async () => {
  const mapping = Object.fromEntries(
    [null, -5, 1e300, "1760000000"].map((time, index, { length }) => [
      `n${index}`,
      {
        parent: index === 0 ? null : `n${index - 1}`,
        message: { author: { role: index % 2 ? "assistant" : "user" }, create_time: time, content: { parts: [String(length)] } },
      },
    ]),
  );
  const { conversations } = await readFile(jsonFile([{ id: "x", mapping, create_time: 1760000000 }]));
  const [only] = /** @type {[Whole]} */ (conversations);
  equal(only.messages.map(({ createdAt }) => createdAt), [0, 1, 2, 3].map((ms) => 1760000000000 + ms));
});

test("what cannot be written is said, and nothing of it is kept", async () => {
  const store = new Store("test nowhere");
  const error = await rejection(importFile(store, await burbleFile(whole("c1"))));
  equal([error instanceof Refused, error.reason], [true, "notWritten"]);
  store.close();
});

test("nothing is half written when the browser has no room", () =>
  withStore(async (store) => {
    const { put } = IDBObjectStore.prototype;
    let puts = 0;
    IDBObjectStore.prototype.put = function (...args) {
      puts += 1;
      if (puts === 3) this.transaction.abort();
      return put.apply(this, args);
    };
    try {
      const error = await rejection(importFile(store, await burbleFile(whole("c1"), whole("c2"))));
      equal(error.name === "InvalidStateError" || error.reason === "notWritten", true);
    } finally {
      IDBObjectStore.prototype.put = put;
    }
    equal(await kept(store), []);
  }));

test("a ZIP is unpacked, with all that is wanted in it", async () => {
  const [first, second] = JSON.parse(await (await fixture("chatgpt.json")).text());
  const shards = await zip({
    "export/chat.html": "<p>",
    "export/conversations-000.json": JSON.stringify([first]),
    "export/conversations-001.json": JSON.stringify([second]),
    "export/image.png": "not looked at",
  });
  const { source, conversations } = await readFile(shards);
  equal([source, conversations], ["ChatGPT", await readFixture("chatgpt.json")]);
  const lines = await zip({ "2025_conv.jsonl": await (await fixture("llama_cpp.jsonl")).text() }, { stored: true });
  equal((await readFile(lines)).conversations, (await readFile(await fixture("llama_cpp.json"))).conversations);
});

test("5,000 conversations come in at once, and the page stays alive", () =>
  withStore(async (store) => {
    const all = [];
    for (let index = 0; index < 5000; index += 1) {
      const id = `c${index}`;
      const messages = [];
      /** @type {string | null} */
      let parent = null;
      for (let turn = 0; turn < 4; turn += 1) {
        messages.push(question(id, `${id}-q${turn}`, parent, `Question ${turn} of ${index}? ${"word ".repeat(20)}`));
        messages.push(answer(id, `${id}-a${turn}`, `${id}-q${turn}`, `Answer ${turn}. ${"word ".repeat(150)}`));
        parent = `${id}-a${turn}`;
      }
      all.push({ conversation: conversation(id, { head: parent }), messages });
    }
    const file = await burbleFile(...all);
    let longest = 0;
    const began = performance.now();
    let before = began;
    const beat = setInterval(() => {
      longest = Math.max(longest, performance.now() - before);
      before = performance.now();
    }, 10);
    const report = await importFile(store, file);
    clearInterval(beat);
    equal(report.taken, { conversations: 5000, messages: 40_000 });
    equal((await store.messages("c4999")).length, 8);
    // On a machine that is slow, or busy with other tests, too.
    const whole = before - began;
    ok(longest < Math.max(3000, whole / 10), `nothing else could run for ${longest} of ${whole} ms`);
    const again = await importFile(store, file);
    equal([again.taken, again.known], [{ conversations: 0, messages: 0 }, 5000]);
  }));

test("Markdown tells the shown path, with what was thought to the side", async () => {
  const { name, type, parts } = await exportFile([rich()], "markdown", { words: WORDS, now: NOW });
  equal([name, type], ["burble-Größe-日本語-b.md", "text/markdown"]);
  equal(
    parts.join(""),
    [
      '# Größe: 日本語 👩‍🚀 "\\<b\\>"',
      "*2026-11-25*",
      "> **System prompt**\n>\n> Be kind.",
      "## You",
      "One\n```\n```",
      "## Burble",
      "Second",
      "*It is failed.*\n",
    ].join("\n\n"),
  );
  const thought = rich();
  thought.conversation.head = "a1";
  ok((await exportFile([thought], "markdown", { words: WORDS })).parts.join("").includes("## m\n\n> **Thought**\n>\n> Hm.\n\nFirst\n"));
});

test("nothing in a message can swallow the next one", () => {
  const OPEN = ["```", "~~~~ py\n```", "<!-- x", "<script>x", "<pre>\n\n", "<textarea", "<?php", "<![CDATA[ x", "<!doctype", "- a\n\n  ```"];
  for (const content of [...OPEN, ...OPEN.map((each) => `before\n\n${each}\n\nmore`)]) {
    const text = `# A\n\n${closed(content)}\n\n## Next\n`;
    const root = document.createElement("div");
    const renderer = createRenderer(root);
    renderer.write(text);
    renderer.end();
    equal([content, root.querySelector("h2")?.textContent], [content, "Next"]);
  }
  for (const content of ["```\na\n```", "a", "<!-- a -->", "~~~\na\n~~~\nb", "` ``` `", "```a`b"]) equal(closed(content), content);
});

test("a file has a name that every system takes", async () => {
  const named = async (/** @type {string} */ title) =>
    (await exportFile([whole("c1", { title })], "json", { words: WORDS, now: NOW })).name;
  equal(await named("a/b\\c: *?\"<>|..\u202e\n"), "burble-a-b-c.json");
  equal(await named("…"), "burble-2026-11-25.json");
  equal(await named("محادثة"), "burble-محادثة.json");
  equal((await named("x".repeat(500))).length, "burble-.json".length + 60);
  equal((await exportFile([whole("c1"), whole("c2")], "json", { words: WORDS, now: NOW })).name, "burble-2026-11-25.json");
});

/** The names of all words below each other. @returns {unknown} */
function shape(/** @type {unknown} */ value) {
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.entries(value)
    .map(([name, inner]) => [name, shape(inner)])
    .sort();
}

test("the dialog has words for the same things in each language", () => {
  equal(shape({ ...ar }), shape({ ...en }));
  equal([en.report(5000, 40_000, 1), en.report(1, 1, 0), en.report(0, 0, 2)], [
    "Brought in: 5,000 conversations with 40,000 messages. 1 conversation was here before.",
    "Brought in: 1 conversation with 1 message.",
    "Nothing is new: 2 conversations were here before.",
  ]);
});

/**
 * A ZIP of these files, with what is wrong about it.
 *
 * @param {Record<string, string>} files
 * @param {{size?: number, flags?: number, garbage?: boolean, stored?: boolean}} [wrong]
 */
async function zip(files, { size, flags = 0, garbage = false, stored = false } = {}) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const directory = [];
  let at = 0;
  for (const [path, text] of Object.entries(files)) {
    const name = new TextEncoder().encode(path);
    const plain = new TextEncoder().encode(text);
    const deflated = new Blob([plain]).stream().pipeThrough(new CompressionStream("deflate-raw"));
    const packed = stored ? plain : new Uint8Array(await new Response(deflated).arrayBuffer());
    if (garbage) packed.fill(0xff);
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    local.setUint16(26, name.length, true);
    const central = new DataView(new ArrayBuffer(46));
    central.setUint32(0, 0x02014b50, true);
    central.setUint16(8, flags, true);
    central.setUint16(10, stored ? 0 : 8, true);
    central.setUint32(20, packed.length, true);
    central.setUint32(24, size ?? plain.length, true);
    central.setUint16(28, name.length, true);
    central.setUint32(42, at, true);
    parts.push(local.buffer, name, packed);
    at += 30 + name.length + packed.length;
    directory.push(new Uint8Array(central.buffer), name);
  }
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint32(12, directory.reduce((sum, { length }) => sum + length, 0), true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...directory, end.buffer]);
}
