import { newAnswer } from "../js/answer.js";
import { VERSION } from "../js/schema.js";
import { Store, defaultSettings, newId } from "../js/store.js";
import { equal, ok, test } from "./harness.js";

/**
 * @typedef {import("../js/store.js").Answer} Answer
 * @typedef {import("../js/store.js").Change} Change
 * @typedef {import("../js/store.js").Conversation} Conversation
 * @typedef {import("../js/store.js").Message} Message
 */

/**
 * Run a test with stores of one database, as several tabs have them.
 *
 * @param {(open: () => Promise<Store>, name: string) => Promise<void>} body
 */
async function withStores(body) {
  const name = `test ${newId()}`;
  /** @type {Store[]} */
  const stores = [];
  try {
    await body(async () => {
      const store = new Store(name);
      stores.push(store);
      await store.open();
      return store;
    }, name);
  } finally {
    for (const store of stores) store.close();
    indexedDB.deleteDatabase(name);
  }
}

/** @param {Partial<Conversation>} [changes] @returns {Conversation} */
function conversation(changes) {
  const settings = defaultSettings();
  const now = Date.now();
  const rest = { title: "A", pinned: false, createdAt: now, updatedAt: now, head: "a1", deletedAt: null };
  return { id: "c", settings, outbox: [], ...rest, ...changes };
}

/** @param {string} id @param {string} [of] @returns {Message} */
function question(id, of = "c") {
  return { id, conversation: of, parent: null, createdAt: 1, role: "user", content: `question ${id}` };
}

/** @param {Partial<Answer>} [changes] @returns {Answer} */
function answer(changes) {
  return { ...newAnswer({ id: "a1", conversation: "c", parent: "q1", think: false }), createdAt: 2, ...changes };
}

/** @param {Store} store */
async function told(store) {
  return new Promise((/** @type {(change: Change) => void} */ resolve) => store.onChange(resolve));
}

test("what is added is there when the database is opened again", () =>
  withStores(async (open) => {
    const store = await open();
    ok(store.keeps);
    equal(await store.add(conversation(), [question("q1"), answer({ content: "So" })]), true);
    store.close();
    const again = await open();
    equal((await again.conversations()).map(({ id }) => id), ["c"]);
    equal((await again.messages("c")).map(({ content }) => content), ["question q1", "So"]);
    equal(await again.messages("other"), []);
  }));

test("answers that run are found until they end", () =>
  withStores(async (open) => {
    const store = await open();
    await store.add(conversation(), [question("q1"), answer()]);
    equal((await store.running()).map(({ id }) => id), ["a1"]);
    await store.saveAnswer(answer({ end: { kind: "stop" } }));
    equal(await store.running(), []);
  }));

test("an answer is only replaced by one that is further", () =>
  withStores(async (open) => {
    const [one, other] = [await open(), await open()];
    await one.add(conversation(), [question("q1"), answer()]);
    const kept = async () => {
      const { content } = /** @type {Answer} */ (await one.message("c", "a1"));
      return content;
    };
    const at = (/** @type {number} */ position) => ({ generation: "g", lastEventId: String(position) });
    equal(await one.saveAnswer(answer({ ...at(10), content: "ten" })), true);
    equal(await other.saveAnswer(answer({ ...at(9), content: "nine" })), false);
    equal(await kept(), "ten");
    // What was stopped stays as it was on the screen of the one who stopped it.
    await other.saveAnswer(answer({ ...at(9), content: "nine", end: { kind: "stopped" } }));
    await one.saveAnswer(answer({ ...at(12), content: "twelve" }));
    equal(await kept(), "nine");
    await one.saveAnswer(answer({ ...at(12), content: "twelve", end: { kind: "stop" } }));
    equal(await kept(), "nine");
    await one.saveAnswer(answer({ runs: 2, content: "nine and more" }));
    equal(await kept(), "nine and more");
  }));

test("an answer of a conversation that was removed does not come back", () =>
  withStores(async (open) => {
    const store = await open();
    await store.add(conversation(), [question("q1"), answer()]);
    await store.remove(["c"]);
    equal(await store.saveAnswer(answer({ lastEventId: "4", content: "late" })), false);
    equal([await store.conversation("c"), await store.messages("c")], [undefined, []]);
  }));

test("two tabs that change one conversation at once undo nothing of each other", () =>
  withStores(async (open) => {
    const [one, other] = [await open(), await open()];
    await one.add(conversation(), [question("q1")]);
    await Promise.all([
      one.update("c", (kept) => (kept.title = "Renamed")),
      other.update("c", (kept) => (kept.pinned = true)),
      one.update("c", (kept) => kept.outbox.push({ id: "w1", content: "one", think: false })),
      other.update("c", (kept) => kept.outbox.push({ id: "w2", content: "other", think: false })),
      other.add(conversation({ head: "q2", title: "ignored" }), [question("q2")]),
    ]);
    const kept = /** @type {Conversation} */ (await one.conversation("c"));
    equal([kept.title, kept.pinned, kept.outbox.map(({ id }) => id), kept.head], ["Renamed", true, ["w1", "w2"], "q2"]);
    equal((await one.messages("c")).length, 2);
  }));

test("a message that waits is sent by one tab only", () =>
  withStores(async (open) => {
    const [one, other] = [await open(), await open()];
    await one.add(conversation({ outbox: [{ id: "w", content: "wait", think: false }] }), [question("q1")]);
    const sent = await Promise.all([
      one.add(conversation({ head: "a" }), [question("a")], { waiting: "w" }),
      other.add(conversation({ head: "b" }), [question("b")], { waiting: "w" }),
    ]);
    equal(sent, [true, false]);
    equal((await one.messages("c")).map(({ id }) => id).sort(), ["a", "q1"]);
    equal((await one.conversation("c"))?.outbox, []);
  }));

test("a message is sent, or still a draft, never neither", () =>
  withStores(async (open) => {
    const store = await open();
    const draft = { conversation: "", text: "Hello", editing: null, settings: null };
    await store.saveDraft(draft);
    equal((await store.draft(""))?.text, "Hello");
    await store.add(conversation(), [question("q1")], { drafts: [{ ...draft, text: "" }, { ...draft, conversation: "c", text: "next" }] });
    equal([await store.draft(""), (await store.draft("c"))?.text], [undefined, "next"]);
    // Refused as a whole.
    await store.add(conversation(), [question("q2")], { waiting: "nobody", drafts: [{ ...draft, conversation: "c", text: "" }] });
    equal((await store.draft("c"))?.text, "next");
  }));

test("each change is told in each tab, after it was written", () =>
  withStores(async (open) => {
    const [one, other] = [await open(), await open()];
    const [own, others] = [told(one), told(other)];
    one.add(conversation(), [question("q1")]);
    const expected = { conversations: ["c"], messages: [["c", "q1"]], drafts: [], presets: false };
    equal([{ ...(await own), own: 0 }, (await own).own], [{ ...expected, own: 0 }, true]);
    equal([{ ...(await others), own: 0 }, (await others).own], [{ ...expected, own: 0 }, false]);
    equal((await other.conversation("c"))?.id, "c");
  }));

test("all messages are read, those of one conversation together", () =>
  withStores(async (open) => {
    const store = await open();
    const conversations = Array.from({ length: 900 }, (_, index) => `c${index}`);
    await store.take(
      conversations.map((id) => ({
        conversation: conversation({ id }),
        messages: ["1", "2", "3"].map((number) => question(number, id)),
      })),
    );
    /** @type {string[]} */
    const read = [];
    for await (const batch of store.allMessages()) read.push(...batch.map((message) => message.conversation));
    equal([read.length, new Set(read).size], [2700, 900]);
    equal(read.filter((id, index) => id !== read[index - 1]).length, 900);
  }));

test("what is taken in twice is there once, and what was here stays as it is", () =>
  withStores(async (open) => {
    const store = await open();
    await store.add(conversation({ title: "Mine" }), [question("q1")]);
    const taken = [
      { conversation: conversation({ title: "Theirs" }), messages: [question("q1"), question("q2")] },
      { conversation: conversation({ id: "d" }), messages: [question("q1", "d")] },
    ];
    equal(await store.take(taken), { conversations: 1, messages: 2 });
    equal(await store.take(taken), { conversations: 0, messages: 0 });
    equal([(await store.conversation("c"))?.title, (await store.messages("c")).length], ["Mine", 2]);
  }));

test("where one record cannot be written, nothing of what was to be taken in is", () =>
  withStores(async (open) => {
    const store = await open();
    const bad = { ...question("q1", "d"), content: () => {} };
    const failure = await store
      .take([
        { conversation: conversation(), messages: [question("q1")] },
        { conversation: conversation({ id: "d" }), messages: [/** @type {any} */ (bad)] },
      ])
      .catch((error) => error);
    ok(failure === null || failure instanceof Error);
    equal([await store.conversations(), await store.messages("c")], [[], []]);
  }));

test("a database of a newer version is left alone, and said to be one", () =>
  withStores(async (open, name) => {
    const request = indexedDB.open(name, VERSION + 1);
    const newer = await new Promise((/** @type {(db: IDBDatabase) => void} */ resolve) => {
      request.onupgradeneeded = () => request.result.createObjectStore("theirs");
      request.onsuccess = () => resolve(request.result);
    });
    const store = await open();
    equal([store.keeps, store.trouble], [false, "newer"]);
    equal(await store.add(conversation(), [question("q1")]), null);
    equal([[...newer.objectStoreNames], await store.conversations()], [["theirs"], []]);
    newer.close();
  }));

test("a page makes way for a newer version of the database, and writes nothing more", () =>
  withStores(async (open, name) => {
    const store = await open();
    const request = indexedDB.open(name, VERSION + 1);
    await new Promise((resolve) => (request.onsuccess = resolve));
    request.result.close();
    equal([store.keeps, store.trouble, await store.add(conversation(), [question("q1")])], [false, "newer", null]);
  }));

test("a database of version 1 is read as it is", () =>
  withStores(async (open, name) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore("conversations", { keyPath: "id" });
      db.createObjectStore("messages", { keyPath: ["conversation", "id"] }).createIndex("running", "running");
      db.createObjectStore("drafts", { keyPath: "conversation" });
      db.createObjectStore("presets", { keyPath: "id" });
      const { transaction } = request;
      transaction?.objectStore("conversations").put(VERSION_1.conversation);
      for (const message of VERSION_1.messages) transaction?.objectStore("messages").put(message);
      transaction?.objectStore("drafts").put(VERSION_1.draft);
      transaction?.objectStore("presets").put(VERSION_1.preset);
    };
    await new Promise((resolve) => (request.onsuccess = resolve));
    request.result.close();
    const store = await open();
    equal(await store.conversations(), [VERSION_1.conversation]);
    equal(await store.messages("c1"), VERSION_1.messages);
    equal((await store.running()).map(({ id }) => id), ["m2"]);
    equal([await store.draft("c1"), await store.presets()], [VERSION_1.draft, [VERSION_1.preset]]);
  }));

test("where there is no database, all can be done and nothing is kept", async () => {
  const open = indexedDB.open;
  /** @type {(string | null)[]} */
  const troubles = [];
  const store = new Store(`test ${newId()}`, (trouble) => troubles.push(trouble));
  IDBFactory.prototype.open = () => {
    throw new DOMException("not here", "SecurityError");
  };
  try {
    await store.open();
  } finally {
    IDBFactory.prototype.open = open;
  }
  equal([troubles, store.keeps], [["unavailable"], false]);
  equal(await store.add(conversation(), [question("q1")]), null);
  equal([await store.conversations(), await store.running(), await store.draft("")], [[], [], undefined]);
  store.close();
});

/** What a page of the first version has written. */
const VERSION_1 = {
  conversation: {
    id: "c1",
    title: "Bread",
    pinned: true,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_100_000,
    head: "m2",
    settings: { think: true, system: "Be brief.", model: "simulated", temperature: 0.5, topP: 0.9, maxTokens: 100 },
    outbox: [{ id: "w1", content: "And rolls?", think: false }],
    deletedAt: null,
  },
  messages: [
    { id: "m1", conversation: "c1", parent: null, createdAt: 1_700_000_000_000, role: "user", content: "How is bread made?" },
    {
      id: "m2",
      conversation: "c1",
      parent: "m1",
      createdAt: 1_700_000_000_001,
      role: "assistant",
      content: "With flour",
      think: true,
      thinking: "They ask about bread.",
      thinkingSince: 1_700_000_000_100,
      thinkingMs: 900,
      phase: "answering",
      position: 0,
      percent: 0,
      generation: "0123456789abcdef0123456789abcdef01234567",
      lastEventId: "12",
      runs: 1,
      leftOut: 0,
      model: "simulated",
      finishReason: null,
      figures: {
        askedAt: 1_700_000_000_001,
        firstTokenMs: 120,
        lastTokenAt: 1_700_000_002_000,
        writingMs: 1800,
        tokens: 9,
        interrupted: false,
        usage: null,
      },
      end: null,
      running: 1,
    },
  ],
  draft: { conversation: "c1", text: "And cake?", editing: { message: "m1", aside: "And tea?" }, settings: null },
  preset: {
    id: "p1",
    name: "Terse",
    settings: { think: false, system: "One word.", model: null, temperature: null, topP: null, maxTokens: 5 },
  },
};
