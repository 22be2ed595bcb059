import { titleOf } from "../js/chat.js";
import { Chats } from "../js/chats.js";
import { newAnswer } from "../js/answer.js";
import { VERSION } from "../js/schema.js";
import { models } from "../js/models.js";
import { NEW, Store, defaultSettings, newId } from "../js/store.js";
import { inOneTab, Turns } from "../js/turns.js";
import { equal, ok, test } from "./harness.js";

/**
 * @typedef {import("../js/chat.js").Chat} Chat
 * @typedef {import("../js/store.js").Answer} Answer
 * @typedef {import("../js/store.js").Conversation} Conversation
 * @typedef {import("../js/store.js").Message} Message
 *
 * A request for an answer, or for the rest of one, and what the test answers it.
 *
 * @typedef {object} Asked
 * @property {string} method
 * @property {string} path
 * @property {any} body
 * @property {(generation: string) => void} open
 * @property {(id: number, event: object) => void} say
 * @property {() => void} finish
 * @property {(status: number, code?: string) => void} refuse
 */

/** A server that a test drives by hand. */
class Server {
  /** @type {Asked[]} */
  asked = [];
  /** What it tells of its models, if anything. @type {object[] | null} */
  models = null;
  #fetch = globalThis.fetch;

  /** @param {RequestInfo | URL} url @param {RequestInit} [init] */
  fetch = (url, { method = "GET", body, signal } = {}) => {
    const path = new URL(url.toString(), location.href).pathname;
    if (path === "/models") {
      const list = JSON.stringify({ models: this.models });
      return Promise.resolve(this.models ? new Response(list) : new Response(null, { status: 404 }));
    }
    return new Promise((/** @type {(response: Response) => void} */ resolve, reject) => {
      /** @type {ReadableStreamDefaultController<Uint8Array>} */
      let stream;
      const write = (/** @type {string} */ text) => stream.enqueue(new TextEncoder().encode(text));
      const opened = new ReadableStream({ start: (controller) => void (stream = controller) });
      signal?.addEventListener("abort", () => {
        reject(signal.reason);
        stream.error(signal.reason);
      });
      this.asked.push({
        method,
        path,
        body: JSON.parse(String(body ?? null)),
        open: (generation) => {
          const headers = { "Content-Type": "text/event-stream", "X-Generation-Id": generation };
          resolve(new Response(opened, { headers }));
        },
        say: (id, event) => write(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`),
        finish: () => write("data: [DONE]\n\n"),
        refuse: (status, code) => {
          const headers = { "Content-Type": "application/problem+json" };
          resolve(new Response(JSON.stringify({ code }), { status, headers }));
        },
      });
    });
  };

  begin() {
    globalThis.fetch = /** @type {typeof fetch} */ (this.fetch);
  }

  end() {
    globalThis.fetch = this.#fetch;
  }

  /** The next request that nobody has looked at. @param {number} index */
  async request(index) {
    await until(() => this.asked.length > index);
    return /** @type {Asked} */ (this.asked[index]);
  }
}

/**
 * @typedef {object} Tabs
 * @property {Server} server
 * @property {(options?: {isAnother?: boolean}) => Promise<Chats>} open `isAnother`: not the one before, loaded again
 * @property {string} name of the database
 */

/**
 * Run a test with a server, and tabs that share a database.
 *
 * @param {(options: Tabs) => Promise<void>} body
 */
async function withTabs(body) {
  const name = `test ${newId()}`;
  const server = new Server();
  /** @type {Chats[]} */
  const tabs = [];
  server.begin();
  try {
    const open = async ({ isAnother = false } = {}) => {
      const store = new Store(name);
      await store.open();
      if (isAnother) sessionStorage.removeItem(`${name} tab`);
      const chats = new Chats(store, { name, changed: () => {}, began: () => {}, gone: () => {} });
      tabs.push(chats);
      await chats.open();
      return chats;
    };
    await body({ server, open, name });
  } finally {
    server.end();
    for (const chats of tabs) {
      chats.suspend();
      chats.store.close();
    }
    indexedDB.deleteDatabase(name);
  }
}

/** @param {() => unknown} condition may be async */
async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

/**
 * Hold back what a store is asked, as a slow pipe does, until that is called which is returned.
 *
 * @param {Store} store
 * @param {...("message" | "messagesAt" | "saveAnswer" | "add" | "conversation" | "update" | "saveDraft")} methods
 */
function hold(store, ...methods) {
  const { promise, resolve } = Promise.withResolvers();
  for (const method of methods) {
    const call = /** @type {(...args: any[]) => any} */ (store[method].bind(store));
    store[method] = async (/** @type {any[]} */ ...args) => {
      // Functions cannot be copied, and need not be.
      const given = args.map((value) => (typeof value === "function" ? value : structuredClone(value)));
      await promise;
      return call(...given);
    };
  }
  return () => resolve(undefined);
}

/**
 * Hold back what a store answers, until that is called which is returned.
 *
 * @param {Store} store
 * @param {...("add" | "draft" | "messages" | "conversations")} methods
 */
function holdAnswers(store, ...methods) {
  const { promise, resolve } = Promise.withResolvers();
  for (const method of methods) {
    const call = /** @type {(...args: any[]) => any} */ (store[method].bind(store));
    store[method] = async (/** @type {any[]} */ ...args) => {
      const answer = await call(...args);
      await promise;
      return answer;
    };
  }
  return () => resolve(undefined);
}

/**
 * Tell other tabs nothing while something is done, as if the notices were on their way.
 *
 * @param {() => Promise<void>} body
 */
async function untold(body) {
  const { postMessage } = BroadcastChannel.prototype;
  BroadcastChannel.prototype.postMessage = () => {};
  try {
    await body();
  } finally {
    BroadcastChannel.prototype.postMessage = postMessage;
  }
}

/** Run without a database. @param {() => Promise<void>} body */
async function keepingNothing(body) {
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = () => {
    throw new DOMException("not here", "SecurityError");
  };
  try {
    await body();
  } finally {
    IDBFactory.prototype.open = open;
  }
}

/** @param {Partial<Conversation>} [changes] @returns {Conversation} */
function conversation(changes) {
  const now = Date.now();
  const rest = { title: "A", pinned: false, createdAt: now, updatedAt: now, head: null, deletedAt: null };
  return { id: "c", settings: defaultSettings(), outbox: [], ...rest, ...changes };
}

/** @param {string} id @param {string | null} parent @returns {Message} */
function question(id, parent) {
  return { id, conversation: "c", parent, createdAt: Date.now(), role: "user", content: `question ${id}` };
}

/** @param {string} id @param {string} parent @param {Partial<Answer>} changes @returns {Answer} */
function answer(id, parent, changes) {
  return { ...newAnswer({ id, conversation: "c", parent, think: false }), ...changes };
}

/** Keep a conversation with an answer that has ended, and a message that waits. @param {Store} store */
async function addWaiting(store) {
  const waiting = { id: "w", content: "wait", think: false };
  const messages = [question("q1", null), answer("a1", "q1", { content: "So", end: { kind: "stop" } })];
  await store.add(conversation({ head: "a1", outbox: [waiting] }), messages);
}

/** @param {Chat} chat */
function shown(chat) {
  return chat.state.messages.map(({ id }) => id);
}

/** @param {Chat} chat */
function last(chat) {
  return /** @type {Answer} */ (chat.state.messages.at(-1));
}

/** What is kept of the draft of a new conversation. @param {Chats} chats @param {string} name of the store */
async function newDraft({ store }, name) {
  return store.draft(NEW + sessionStorage.getItem(`${name} tab`));
}

/** @param {Chats} chats @param {Chat} chat */
async function kept(chats, chat) {
  return /** @type {Answer} */ (await chats.store.message(chat.id, last(chat).id));
}

test("what is asked is kept, and so is how it ends", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const { shown: chat } = chats;
    chat.send("hello");
    const asked = await server.request(0);
    equal([asked.path, asked.body.messages], ["/chat", [{ role: "user", content: "hello" }]]);
    asked.open("g");
    asked.say(1, { token: "Hi" });
    asked.finish();
    await until(() => last(chat).end);
    await until(async () => (await kept(chats, chat)).end);
    equal([(await kept(chats, chat)).content, chats.list.map(({ title }) => title)], ["Hi", ["hello"]]);
  }));

test("an answer without a text that something follows is asked for again beside it", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    await chats.store.add(conversation({ head: "a2" }), [
      question("q1", null),
      answer("a1", "q1", { end: { kind: "unreachable" } }),
      question("q2", "a1"),
      answer("a2", "q2", { content: "So", end: { kind: "stop" } }),
    ]);
    await chats.show("c");
    const chat = chats.shown;
    chat.retry(/** @type {Answer} */ (chat.tree.get("a1")));
    await server.request(0);
    ok(chat.running);
    equal([shown(chat).length, shown(chat)[0]], [2, "q1"]);
    chat.walkTo("q2");
    equal(shown(chat), ["q1", "a1", "q2", "a2"]);
  }));

test("what another tab has stopped before it knew the id does not grow, and is stopped at the server", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    const chat = one.shown;
    chat.send("hello");
    const asked = await server.request(0);
    const running = last(chat);
    await until(() => other.isRunning(chat.id));
    const stopped = structuredClone(running);
    asked.open("g");
    await until(async () => (await kept(one, chat)).generation === "g");
    await other.store.saveAnswer({ ...stopped, end: { kind: "stopped" } });
    await until(() => last(chat).end);
    asked.say(1, { token: "late" });
    const stop = await server.request(1);
    equal([stop.method, stop.path], ["DELETE", "/chat/g"]);
    stop.refuse(404);
    equal([last(chat).content, (await kept(one, chat)).content], ["", ""]);
    ok(!chat.isBusy || (await until(() => !chat.isBusy)) === undefined);
  }));

test("what has ended is asked by no other tab, however long it takes to be written", () =>
  withTabs(async ({ server, open, name }) => {
    const [one, other] = [await open(), await open()];
    const locks = async () => {
      const { held = [], pending = [] } = await navigator.locks.query();
      return [held, pending].map((list) => list.filter((lock) => lock.name?.startsWith(name)).length);
    };
    const chat = one.shown;
    chat.send("hello");
    const asked = await server.request(0);
    const pass = hold(one.store, "message", "saveAnswer");
    await until(async () => (await locks()).join() === "1,1");
    asked.open("g");
    asked.finish();
    await until(() => last(chat).end);
    await other.store.message(chat.id, last(chat).id);
    equal(await locks(), [1, 1]);
    pass();
    await until(async () => (await locks()).join() === "0,0");
    equal([server.asked.length, other.isRunning(chat.id)], [1, false]);
  }));

test("a question that another tab was first to ask is asked once, however late it is told", () =>
  withTabs(async ({ server, open }) => {
    const one = await open();
    await addWaiting(one.store);
    await one.show("c");
    const other = await open();
    // The other tab gets the lock while this one is still busy with what it has written.
    const pass = hold(one.store, "conversation");
    one.shown.release();
    const asked = await server.request(0);
    await until(() => other.isRunning("c"));
    await untold(async () => {
      pass();
      await until(() => one.shown.running);
      asked.open("g");
      asked.say(1, { token: "Yes" });
      asked.finish();
      await until(() => last(one.shown).end || server.asked.length > 1);
    });
    equal([server.asked.length, last(one.shown).content], [1, "Yes"]);
  }));

test("what another tab begins while a conversation is being loaded is in it", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    await one.store.add(conversation(), [question("q1", null)]);
    const pass = holdAnswers(other.store, "messages");
    const shows = other.show("c");
    await one.store.messages("c");
    await one.show("c");
    one.shown.send("hello");
    await server.request(0);
    await until(async () => (await one.store.messages("c")).length === 3);
    const heard = new Promise((resolve) => other.store.onChange(resolve));
    await one.rename("c", "B");
    await heard;
    pass();
    await shows;
    await until(() => other.list[0]?.title === "B");
    await until(() => shown(other.shown).length === 3);
  }));

test("a question is never asked for without what is before it", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    await one.store.add(conversation(), [question("q1", null)]);
    await one.show("c");
    await other.show("c");
    // Reads of one database may overtake each other.
    const { message } = other.store;
    const gate = Promise.withResolvers();
    other.store.message = async (id, messageId) => {
      const found = await message.call(other.store, id, messageId);
      if (found?.role === "user") await gate.promise;
      return found;
    };
    one.shown.send("hello");
    await server.request(0);
    await until(() => other.isRunning("c"));
    one.suspend();
    equal((await server.request(1)).body.messages.length, 2);
    gate.resolve(undefined);
  }));

test("what another tab has removed while the list was read is not in it", () =>
  withTabs(async ({ open, name }) => {
    const one = await open();
    await one.store.add(conversation(), [question("q1", null)]);
    const store = new Store(name);
    await store.open();
    const pass = holdAnswers(store, "conversations");
    const late = new Chats(store, { name, changed: () => {}, began: () => {}, gone: () => {} });
    const opens = late.open();
    await store.conversation("c");
    const heard = new Promise((resolve) => store.onChange(({ messages }) => messages.length === 0 && resolve(undefined)));
    await one.store.remove(["c"]);
    await heard;
    await new Promise((resolve) => setTimeout(resolve));
    await store.conversation("c");
    pass();
    await opens;
    await until(() => late.list.length === 0);
    store.close();
  }));

test("what waits in a conversation that is not shown goes, and is read there", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("one");
    const first = await server.request(0);
    first.open("g");
    await until(() => last(chat).generation);
    chat.send("two");
    await chats.showNew();
    first.finish();
    const second = await server.request(1);
    equal(chats.isRunning(chat.id), true);
    second.open("h");
    second.say(1, { token: "Two" });
    await until(() => last(chat).content === "Two");
    await chats.show(chat.id);
    equal(last(chats.shown).content, "Two");
  }));

test("what is sent while one that waited is being written waits behind it", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("one");
    const first = await server.request(0);
    first.open("g");
    await until(() => last(chat).generation);
    chat.send("two");
    await until(async () => (await chats.store.conversation(chat.id))?.outbox.length === 1);
    const pass = hold(chats.store, "add");
    first.finish();
    await until(() => last(chat).end);
    chat.send("three");
    pass();
    const second = await server.request(1);
    equal([second.body.messages.at(-1).content, chat.state.outbox.map(({ content }) => content)], ["two", ["three"]]);
    second.open("h");
    second.finish();
    const third = await server.request(2);
    equal(third.body.messages.map((/** @type {any} */ { content }) => content).filter(Boolean), ["one", "two", "three"]);
  }));

test("what there was no room for waits all the same", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("one");
    const first = await server.request(0);
    first.open("g");
    await until(() => last(chat).generation);
    const { update } = chats.store;
    chats.store.update = async () => null;
    chat.send("two");
    chats.store.update = update;
    // What is read back is read before this, if anything is.
    await new Promise((resolve) => setTimeout(resolve));
    await chats.store.conversation(chat.id);
    await new Promise((resolve) => setTimeout(resolve));
    equal(chat.state.outbox.map(({ content }) => content), ["two"]);
  }));

test("what is being sent cannot be taken back", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    await addWaiting(chats.store);
    await chats.show("c");
    const pass = holdAnswers(chats.store, "add");
    const chat = chats.shown;
    chat.release();
    chat.editLast();
    pass();
    await server.request(0);
    equal([shown(chat).length, chat.state.draft, chat.state.outbox], [4, "", []]);
  }));

test("what could not be sent because the page failed is sent the next time", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    await addWaiting(chats.store);
    await chats.show("c");
    const { shown: chat, store } = chats;
    const { add } = store;
    store.add = () => Promise.reject(new Error("broken"));
    equal(await chat.release().catch(({ message }) => message), "broken");
    store.add = add;
    chat.release();
    equal((await server.request(0)).body.messages.at(-1).content, "wait");
  }));

test("what another tab has changed while one that waited was written stays", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    await addWaiting(one.store);
    await until(() => other.list.length > 0);
    await one.show("c");
    const pass = hold(one.store, "add");
    one.shown.release();
    const heard = new Promise((resolve) => one.store.onChange(resolve));
    await other.rename("c", "B");
    await heard;
    await one.store.conversation("c");
    pass();
    await server.request(0);
    equal([one.list[0]?.title, one.shown.title], ["B", "B"]);
  }));

test("what is written is not replaced by what another tab wrote before", () =>
  withTabs(async ({ open }) => {
    const [one, other] = [await open(), await open()];
    await one.store.add(conversation(), [question("q1", null)]);
    await one.show("c");
    await other.show("c");
    const pass = holdAnswers(one.store, "draft");
    const heard = new Promise((resolve) => one.store.onChange(resolve));
    other.shown.setDraft("old");
    other.shown.keepDraft();
    await heard;
    one.shown.setDraft("new");
    one.shown.keepDraft();
    pass();
    await until(async () => (await one.store.draft("c"))?.text === "new");
    await new Promise((resolve) => setTimeout(resolve));
    equal(one.shown.state.draft, "new");
  }));

test("a page that comes back has not left its draft to others", () =>
  withTabs(async ({ open, name }) => {
    const one = await open();
    one.shown.setDraft("mine");
    one.suspend();
    equal((await newDraft(one, name))?.isLeft, true);
    await one.resume();
    equal((await newDraft(one, name))?.isLeft, undefined);
    equal([(await newDraft(one, name))?.text, one.shown.state.draft], ["mine", "mine"]);
  }));

test("a page that comes back shows the draft as it was left elsewhere", () =>
  withTabs(async ({ open }) => {
    const [one, other] = [await open(), await open()];
    await one.store.add(conversation(), [question("q1", null)]);
    await one.show("c");
    await other.show("c");
    one.shown.setDraft("hello");
    one.suspend();
    await until(() => other.shown.state.draft === "hello");
    await untold(async () => {
      other.shown.setDraft("hello again");
      other.shown.keepDraft();
      await until(async () => (await other.store.draft("c"))?.text === "hello again");
    });
    await one.resume();
    equal(one.shown.state.draft, "hello again");
  }));

test("a page that comes back has a draft that there was no room for", () =>
  withTabs(async ({ open }) => {
    const one = await open();
    await one.store.add(conversation(), [question("q1", null)]);
    await one.show("c");
    one.store.saveDraft = async () => null;
    one.shown.setDraft("mine");
    one.suspend();
    await one.resume();
    equal(one.shown.state.draft, "mine");
  }));

test("a draft that was left is taken by one tab, and never by none", () =>
  withTabs(async ({ open, name }) => {
    const one = await open();
    one.shown.setDraft("left");
    one.suspend();
    equal((await newDraft(one, name))?.isLeft, true);
    const tabs = await Promise.all([open({ isAnother: true }), open({ isAnother: true })]);
    equal(tabs.map(({ shown: { state } }) => state.draft).sort(), ["", "left"]);
  }));

test("what had ended before it was stopped is shown as it ended", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    const chat = one.shown;
    chat.send("hello");
    const asked = await server.request(0);
    asked.open("g");
    asked.say(1, { token: "Hi" });
    await until(() => last(chat).content === "Hi");
    await other.show(chat.id);
    await until(() => last(other.shown).content === "Hi");
    const pass = hold(other.store, "message", "messagesAt");
    asked.say(2, { token: " there" });
    asked.finish();
    await until(async () => (await kept(one, chat)).end);
    other.shown.stop();
    pass();
    await until(() => last(other.shown).content === "Hi there");
    equal([last(other.shown).end, (await kept(one, chat)).end], [{ kind: "stop" }, { kind: "stop" }]);
  }));

test("a page that goes away keeps the id that it was about to keep", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("hello");
    const asked = await server.request(0);
    const { saveAnswer } = chats.store;
    // What is to be asked first is never done: the page is gone before.
    chats.store.saveAnswer = (answer, options) =>
      options?.unasked ? saveAnswer.call(chats.store, answer, options) : new Promise(() => {});
    asked.open("g");
    await until(() => last(chat).generation === "g");
    chats.suspend();
    equal((await kept(chats, chat)).generation, "g");
  }));

test("what another tab has stopped and gone on with is read in its place", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    const chat = one.shown;
    chat.send("hello");
    const asked = await server.request(0);
    asked.open("g");
    asked.say(1, { token: "as far as here" });
    await until(async () => (await kept(one, chat)).content !== "");
    const record = await kept(one, chat);
    await other.store.saveAnswer({ ...record, content: "as far", runs: 2, generation: "h", lastEventId: "" });
    await until(() => last(chat).runs === 2);
    const again = await server.request(1);
    equal([again.method, again.path], ["GET", "/chat/h"]);
    again.open("h");
    again.say(1, { token: " as there" });
    await until(() => last(chat).content === "as far as there");
  }));

test("a draft outlives what waits being sent by another tab", () =>
  withTabs(async ({ open, name }) => {
    const chats = await open();
    await addWaiting(chats.store);
    await chats.show("c");
    const chat = chats.shown;
    await untold(async () => {
      const other = new Store(name);
      await other.open();
      await other.update("c", (record) => (record.outbox = []));
      other.close();
    });
    chat.setDraft("half a sen");
    await chat.release();
    await until(async () => (await chats.store.draft("c"))?.text === "half a sen");
    equal(shown(chat), ["q1", "a1"]);
  }));

test("a page that comes back reads on, and takes in what other tabs have changed", () =>
  withTabs(async ({ server, open, name }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("hello");
    const asked = await server.request(0);
    asked.open("g");
    asked.say(1, { token: "one" });
    await until(async () => (await kept(chats, chat)).lastEventId === "1");
    chats.suspend();
    const { postMessage } = BroadcastChannel.prototype;
    BroadcastChannel.prototype.postMessage = () => {};
    const other = new Store(name);
    await other.open();
    await other.update(chat.id, (record) => (record.title = "Renamed"));
    await other.add(conversation(), []);
    other.close();
    BroadcastChannel.prototype.postMessage = postMessage;
    await chats.resume();
    equal(chats.list.map(({ title }) => title).sort(), ["A", "Renamed"]);
    const again = await server.request(1);
    equal([again.method, again.path], ["GET", "/chat/g"]);
  }));

test("a page that comes back at once reads on", () =>
  withTabs(async ({ server, open }) => {
    const chats = await open();
    const chat = chats.shown;
    chat.send("hello");
    const asked = await server.request(0);
    asked.open("g");
    await until(() => last(chat).generation === "g");
    // Nothing of the page runs in between.
    chat.suspend();
    chat.resume();
    equal([(await server.request(1)).path, chat.isRunning], ["/chat/g", true]);
  }));

test("what was written for a new conversation is there when the one that is shown was deleted", () =>
  withTabs(async ({ open }) => {
    const chats = await open();
    await chats.store.add(conversation(), [question("q1", null)]);
    await until(() => chats.list.length === 1);
    chats.shown.setDraft("to be asked");
    await chats.show("c");
    await chats.remove(["c"]);
    await until(() => chats.shown.state.draft === "to be asked");
    equal(chats.shown.id, "");
  }));

test("what is deleted for good while its answer is read leaves nothing behind", () =>
  withTabs(async ({ server, open }) => {
    const [one, other] = [await open(), await open()];
    const chat = one.shown;
    chat.send("hello");
    const asked = await server.request(0);
    asked.open("g");
    asked.say(1, { token: "one " });
    await until(() => last(chat).content === "one ");
    // The next is not written at once.
    asked.say(2, { token: "two" });
    await until(() => last(chat).content === "one two");
    await other.store.remove([chat.id]);
    await until(() => one.shown !== chat && !chat.isBusy);
    equal([await one.store.running(), await one.store.messages(chat.id)], [[], []]);
  }));

test("where nothing is kept, what was deleted can be brought back all the same", () =>
  keepingNothing(() =>
    withTabs(async ({ server, open }) => {
      const chats = await open();
      const chat = chats.shown;
      chat.send("hello");
      const asked = await server.request(0);
      asked.open("g");
      asked.finish();
      await until(() => !chat.isBusy);
      await chats.remove([chat.id]);
      equal([chats.list.length, await chats.show(chat.id), chats.shown === chat], [0, false, false]);
      await chats.restore([chat.id]);
      equal([chats.list.length, await chats.show(chat.id), chats.shown === chat], [1, true, true]);
      await chats.forget([chat.id]);
      equal([chats.list.length, await chats.show(chat.id)], [0, false]);
    }),
  ));

test("a page that may read no more shows what it showed, whatever others tell", () =>
  withTabs(async ({ open, name }) => {
    const chats = await open();
    await chats.store.add(conversation(), [question("q1", null)]);
    await chats.show("c");
    const request = indexedDB.open(name, VERSION + 1);
    await new Promise((resolve) => (request.onsuccess = resolve));
    request.result.close();
    ok(!chats.store.keeps);
    const [told, heard] = [new BroadcastChannel(name), new BroadcastChannel(name)];
    const arrived = new Promise((resolve) => (heard.onmessage = resolve));
    told.postMessage({ conversations: ["c"], messages: [], presets: false, own: true });
    await arrived;
    await new Promise((resolve) => setTimeout(resolve));
    equal([chats.shown.id, chats.list.length], ["c", 1]);
    for (const channel of [told, heard]) channel.close();
  }));

test("where locks and channels are refused, too, an answer is read all the same", () =>
  keepingNothing(async () => {
    const { request } = LockManager.prototype;
    const { BroadcastChannel } = globalThis;
    const refuse = () => {
      throw new DOMException("not here", "SecurityError");
    };
    LockManager.prototype.request = () => Promise.reject(new DOMException("not here", "SecurityError"));
    globalThis.BroadcastChannel = /** @type {any} */ (class { constructor() { refuse(); } });
    try {
      await withTabs(async ({ server, open }) => {
        const chats = await open();
        equal(chats.store.trouble, "unavailable");
        chats.shown.send("hello");
        const asked = await server.request(0);
        asked.open("g");
        asked.say(1, { token: "Hi" });
        asked.finish();
        await until(() => last(chats.shown).end);
        equal([last(chats.shown).content, last(chats.shown).end], ["Hi", { kind: "stop" }]);
      });
    } finally {
      LockManager.prototype.request = request;
      globalThis.BroadcastChannel = BroadcastChannel;
    }
  }));

test("what fails in one tab's work is not tried again without a lock", async () => {
  let times = 0;
  const work = async () => {
    times += 1;
    throw new DOMException("in the work", "SecurityError");
  };
  const failure = await inOneTab(newId(), new AbortController().signal, work).catch((error) => error.message);
  equal([failure, times], ["in the work", 1]);
});

test("never more answers are read at once than there are places", async () => {
  const turns = new Turns();
  const { signal } = new AbortController();
  let reading = 0;
  const take = async () => {
    const place = await turns.take({ signal, isSeen: () => false, canPause: () => false });
    reading += 1;
    return place;
  };
  const first = await Promise.all([take(), take(), take(), take()]);
  for (let count = 0; count < 4; count += 1) take();
  first[0]?.give();
  turns.arrange();
  turns.arrange();
  await new Promise((resolve) => setTimeout(resolve));
  equal(reading, 5);
});

test("a title ends with a whole character", () => {
  equal(titleOf("a".repeat(99) + "👩 and more"), "a".repeat(99));
  equal(titleOf("a".repeat(98) + "👩 and more"), "a".repeat(98) + "👩");
});

/** @param {Server} server @param {...{id: string, thinking?: boolean}} served */
async function serve(server, ...served) {
  const usual = { takes: [], thinking: true, system: true, max_prompt_chars: 9000, context_tokens: null };
  server.models = served.map((model) => ({ ...usual, ...model }));
  models.list = [];
  await models.reload();
}

test("an answer keeps the model that wrote it, also where the server chose", () =>
  withTabs(async ({ server, open }) => {
    await serve(server, { id: "first" }, { id: "second" });
    const chats = await open();
    const { shown: chat } = chats;
    chat.send("hello");
    const asked = await server.request(0);
    equal([asked.body.model, last(chat).model], [undefined, "first"]);
    asked.open("g");
    asked.say(1, { token: "Hi" });
    await until(() => last(chat).content === "Hi");
    // The one that runs goes on, and the next is another's.
    chat.setSettings({ model: "second" });
    asked.finish();
    await until(async () => (await kept(chats, chat)).end);
    equal((await kept(chats, chat)).model, "first");
    chat.send("again");
    equal([(await server.request(1)).body.model, last(chat).model], ["second", "second"]);
  }));

test("a model that is gone is not asked, and stays chosen until another one is", () =>
  withTabs(async ({ server, open }) => {
    await serve(server, { id: "first" });
    const chats = await open();
    const settings = { ...defaultSettings(), model: "gone" };
    const end = /** @type {const} */ ({ kind: "stopped" });
    const messages = [question("q1", null), answer("a1", "q1", { content: "So", model: "gone", end })];
    await chats.store.add(conversation({ head: "a1", settings }), messages);
    await chats.show("c");
    const { shown: chat } = chats;
    chat.send("and now");
    const asked = await server.request(0);
    equal([asked.body.model, last(chat).model, chat.state.settings.model], [undefined, "first", "gone"]);
    equal(chat.tree.get("a1")?.role === "assistant" && /** @type {Answer} */ (chat.tree.get("a1")).model, "gone");
  }));

test("a server that does not know a model any more is asked what it serves", () =>
  withTabs(async ({ server, open }) => {
    await serve(server, { id: "first" }, { id: "second" });
    const { shown: chat } = await open();
    chat.setSettings({ model: "second" });
    server.models = server.models?.slice(0, 1) ?? null;
    chat.send("hello");
    const asked = await server.request(0);
    equal(asked.body.model, "second");
    asked.refuse(422, "unknown_model");
    await until(() => models.served("second") === null);
    await until(() => last(chat).end);
    chat.retry();
    const again = await server.request(1);
    equal([again.body.model, last(chat).model], [undefined, "first"]);
  }));

test("a new conversation goes on with the model that was used last, if it is served", () =>
  withTabs(async ({ server, open, name }) => {
    await serve(server, { id: "first" }, { id: "second" });
    const one = await open();
    one.shown.setSettings({ model: "second", temperature: 1 });
    one.shown.send("hello");
    (await server.request(0)).refuse(503);
    await until(async () => (await kept(one, one.shown)).end);
    await one.showNew();
    equal([one.shown.state.settings.model, one.shown.state.settings.temperature], ["second", null]);
    // Also on a page that is loaded later, where nothing is kept of it that nobody has chosen there.
    const other = await open();
    equal([other.shown.id, other.shown.state.settings.model], ["", "second"]);
    other.suspend();
    equal(await newDraft(other, name), undefined);
    other.shown.setSettings({ model: "first" });
    other.suspend();
    await until(async () => (await newDraft(other, name))?.settings?.model === "first");
    other.shown.setSettings({ model: "second" });
    await serve(server, { id: "first" });
    other.shown.send("hello again");
    const asked = await server.request(1);
    equal([asked.body.model, other.shown.state.settings.model], [undefined, null]);
  }));

test("thinking is not asked of a model that cannot think", () =>
  withTabs(async ({ server, open }) => {
    await serve(server, { id: "first" }, { id: "second", thinking: false });
    const { shown: chat } = await open();
    chat.setSettings({ model: "second", think: true });
    chat.send("hello");
    equal([(await server.request(0)).body.thinking, chat.state.settings.think], [false, true]);
  }));

test("a question that was too long for the model is not sent with the next one", () =>
  withTabs(async ({ server, open }) => {
    const { shown: chat } = await open();
    chat.send("long");
    const asked = await server.request(0);
    asked.open("g");
    asked.say(1, { error: { code: "prompt_too_long", message: "Too long." } });
    await until(() => last(chat).end?.kind === "failed");
    chat.send("short");
    equal((await server.request(1)).body.messages, [{ role: "user", content: "short" }]);
  }));
