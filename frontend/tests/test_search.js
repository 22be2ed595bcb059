import { newAnswer } from "../js/answer.js";
import { excerptOf, SearchIndex } from "../js/search.js";
import { defaultSettings, newId, Store } from "../js/store.js";
import { equal, ok, rejection, test } from "./harness.js";

/**
 * @typedef {import("../js/store.js").Message} Message
 * @typedef {import("../js/search.js").Found} Found
 */

/** @param {string} [name] */
async function opened(name = `test ${newId()}`) {
  const store = new Store(name);
  await store.open();
  return store;
}

let clock = 0;

/**
 * A conversation of questions and answers in turns; later made ones are newer.
 *
 * @param {string} title
 * @param {string[]} contents
 */
function made(title, contents, id = newId()) {
  clock += 1000;
  /** @type {Message[]} */
  const messages = [];
  contents.forEach((content, index) => {
    const message = { id: newId(), conversation: id, parent: messages.at(-1)?.id ?? null };
    if (index % 2 === 0) messages.push({ ...message, role: "user", createdAt: clock + index, content });
    else messages.push({ ...newAnswer({ ...message, think: false }), createdAt: clock + index, content, end: { kind: "stop" } });
  });
  const conversation = {
    ...{ id, title, pinned: false, createdAt: clock, updatedAt: clock, head: messages.at(-1)?.id ?? null },
    ...{ settings: defaultSettings(), outbox: [], deletedAt: null },
  };
  return { conversation, messages };
}

/**
 * What a search yields in the end.
 *
 * @param {SearchIndex} index
 * @param {string} query
 * @param {Parameters<SearchIndex["search"]>[1]} [options]
 */
async function search(index, query, options) {
  /** @type {Found | undefined} */
  let last;
  for await (const found of index.search(query, options)) last = found;
  return /** @type {Found} */ (last);
}

/**
 * @param {SearchIndex} index
 * @param {string} query
 */
async function titles(index, query) {
  return (await search(index, query)).hits.map(({ title }) => title);
}

/** @param {{excerpt: string, title: string, message: string | null, places: [number, number][]}} hit */
function marked({ excerpt, title, message, places }) {
  return places.map(([start, end]) => (message === null ? title : excerpt).slice(start, end));
}

/** @param {ReturnType<typeof made>[]} conversations */
async function indexOf(...conversations) {
  const store = await opened();
  await store.take(conversations);
  const index = new SearchIndex(store);
  await index.load();
  return { store, index };
}

test("questions and answers of all branches are searched, and what was thought is not", async () => {
  const fruit = made("Fruit", ["What is a quince?", "A pome."]);
  const [question, answer] = fruit.messages;
  const branch = { .../** @type {Message} */ (made("", ["", "Like a medlar."]).messages[1]), conversation: fruit.conversation.id, parent: question?.id ?? null };
  Object.assign(answer ?? {}, { thinking: "Not a persimmon." });
  fruit.messages.push(branch);
  const { index } = await indexOf(fruit, made("Nuts", ["Hazel?", "Yes."]));
  equal(await titles(index, "QUINCE"), ["Fruit"]);
  equal(await titles(index, "pome"), ["Fruit"]);
  equal(await titles(index, "persimmon"), []);
  const { hits, words } = await search(index, "Medlar");
  equal([hits[0]?.message, hits[0]?.conversation, words], [branch.id, fruit.conversation.id, ["medlar"]]);
  equal(hits.map(marked), [["medlar"]]);
});

test("titles come first, then what was asked in last", async () => {
  const { index } = await indexOf(
    made("Red old", ["a", "b"]),
    made("x1", ["red", "b"]),
    made("Red new", ["red", "b"]),
    made("x2", ["a", "red and red"]),
  );
  const { hits, total, isWhole } = await search(index, "red");
  equal([hits.map(({ title }) => title), total, isWhole], [["Red new", "Red old", "x2", "x1"], 4, true]);
  equal(hits.map(({ message }) => message === null), [true, true, false, false]);
  equal(hits.map(({ others }) => others), [1, 0, 0, 0]);
  equal(hits.map(marked), [["Red"], ["Red"], ["red", "red"], ["red"]]);
});

test("all words have to be there, wherever in the conversation, and a phrase as it is", async () => {
  const { index } = await indexOf(
    made("Apples", ["green ones", "and red ones"]),
    made("Pears", ["green and", "more"]),
    made("Plums", ["red then", "a green red plum"]),
  );
  equal(await titles(index, "green red"), ["Plums", "Apples"]);
  equal(await titles(index, "apples red"), ["Apples"]);
  equal(await titles(index, '"green and"'), ["Pears"]);
  equal(await titles(index, '"red green"'), []);
  const [plums] = (await search(index, "red green")).hits;
  equal(plums && [plums.excerpt, marked(plums), plums.others], ["a green red plum", ["green", "red"], 0]);
});

test("nothing is found for no words", async () => {
  const { index } = await indexOf(made("Apples", ["green"]));
  for (const query of ["", "  ", '"', "**"]) equal((await search(index, query)).total, 0);
  equal(await titles(index, "apple"), ["Apples"]);
});

test("of each conversation the first message is shown, and how many others there are", async () => {
  const tea = made("Drinks", ["no", "tea one", "tea two", "no", "tea three"]);
  const { index } = await indexOf(tea);
  const [hit] = (await search(index, "tea")).hits;
  equal([hit?.message, hit?.others], [tea.messages[1]?.id, 2]);
});

test("the first hits come before all are counted", async () => {
  const { index } = await indexOf(...Array.from({ length: 30 }, (_, at) => made(`t${at}`, ["needle"])), made("Needle", ["x"]));
  /** @type {Found[]} */
  const yielded = [];
  for await (const found of index.search("needle", { most: 3 })) yielded.push(found);
  equal(yielded.map(({ total }) => total), [null, 31]);
  for (const { hits } of yielded) equal(hits.map(({ title }) => title), ["Needle", "t29", "t28"]);
});

test("a search that is not wanted any more ends", async () => {
  const { index } = await indexOf(...Array.from({ length: 9 }, (_, at) => made(`t${at}`, ["needle"])));
  const running = new AbortController();
  const searching = index.search("needle", { most: 3, signal: running.signal });
  await searching.next();
  running.abort();
  equal((await rejection(searching.next())).name, "AbortError");
});

test("what is typed on, taken back, and typed otherwise is found as if it was searched for alone", async () => {
  const { store, index } = await indexOf(
    made("a", ["the cat sat"]),
    made("b", ["the car, that"]),
    made("cap", ["other"]),
    made("c", ["cat and car"]),
  );
  for (const query of ["c", "ca", "cat", "cat s", "cat", "ca", "car", '"', '"ca', '"cat a', "t", "th", "the", "the c"]) {
    const alone = new SearchIndex(store);
    await alone.load();
    equal([query, await titles(index, query)], [query, await titles(alone, query)]);
  }
});

test("what changes is found as it is now, in this tab and in others", async () => {
  const name = `test ${newId()}`;
  const [store, other] = [await opened(name), await opened(name)];
  const first = made("First", ["apple", "pie"]);
  await store.take([first]);
  let changes = 0;
  const index = new SearchIndex(store, () => (changes += 1));
  await index.load();
  const { id } = first.conversation;

  /** Do it in the other tab, and wait until this one is told. @param {() => Promise<unknown>} act */
  const elsewhere = async (act) => {
    const told = new Promise((resolve) => store.onChange(resolve));
    await act();
    await told;
  };

  changes = 0;
  await store.update(id, (conversation) => (conversation.title = "Renamed"));
  equal([await titles(index, "renamed"), await titles(index, "first"), changes > 0], [["Renamed"], [], true]);
  await elsewhere(() => other.update(id, (conversation) => (conversation.title = "Again")));
  equal(await titles(index, "again"), ["Again"]);

  const running = { ...newAnswer({ id: newId(), conversation: id, parent: null, think: false }), generation: "g", lastEventId: "1", content: "grow" };
  await elsewhere(() => other.add({ ...first.conversation, head: running.id }, [running]));
  equal(await titles(index, "grow"), ["Again"]);
  await elsewhere(() => other.saveAnswer({ ...running, lastEventId: "2", content: "growing up" }));
  equal(await titles(index, "growing"), ["Again"]);

  await store.update(id, (conversation) => (conversation.deletedAt = 1));
  equal(await titles(index, "pie"), []);
  await store.update(id, (conversation) => (conversation.deletedAt = null));
  equal(await titles(index, "pie"), ["Again"]);

  await elsewhere(() => other.take([made("Taken", ["pie, too"])]));
  equal(await titles(index, "pie"), ["Taken", "Again"]);
  await store.remove([id]);
  equal(await titles(index, "pie"), ["Taken"]);
  store.close();
  other.close();
});

test("nothing is read for what changes while nobody searches", async () => {
  const { store, index } = await indexOf(made("a", ["x"]));
  let reads = 0;
  for (const name of /** @type {const} */ (["conversation", "messages", "messagesAt", "conversations"])) {
    const read = /** @type {any} */ (store)[name].bind(store);
    /** @type {any} */ (store)[name] = (/** @type {unknown[]} */ ...args) => ((reads += 1), read(...args));
  }
  const b = made("b", ["y"]);
  for (let at = 0; at < 5; at += 1) await store.add(b.conversation, b.messages);
  equal(reads, 0);
  equal(await titles(index, "y"), ["b"]);
});

test("very many changes at once are read again all together", async () => {
  const { store, index } = await indexOf(made("a", ["x"]));
  const many = Array.from({ length: 400 }, (_, at) => made(`m${at}`, ["many"]));
  await store.take(many);
  await search(index, "many");
  await index.load();
  equal((await search(index, "many")).total, 400);
  equal(await titles(index, "x"), ["a"]);
});

test("what is loaded by now is found while the rest is on its way, and a change meanwhile is not lost", async () => {
  const store = await opened();
  const a = made("a", ["x", "first"]);
  await store.take([a, made("b", ["x"])]);
  const index = new SearchIndex(store);
  const loading = index.load();
  const [, answer] = a.messages;
  await store.update(a.conversation.id, (conversation) => (conversation.title = "now"));
  await store.add(a.conversation, [{ .../** @type {Message} */ (answer), id: newId(), content: "second" }]);
  await loading;
  equal([(await search(index, "now")).total, (await search(index, "second")).total], [1, 1]);
  equal((await search(index, "x")).isWhole, true);
});

test("where nothing is kept nothing is found", async () => {
  const index = new SearchIndex(new Store("never opened"));
  equal(await search(index, "x"), { words: ["x"], hits: [], total: 0, isWhole: false });
  await index.load();
  equal((await search(index, "x")).isWhole, true);
});

// Excerpts

test("an excerpt is around the word, cut between words, in one line and without marks", () => {
  const text = `${"Some words before it. ".repeat(20)}\n\n- here is the **nee**dle,\n\n  in \`code\` ${"and words after it. ".repeat(20)}`;
  const { excerpt, places } = excerptOf(text, ["needle"]);
  ok(/^…words before it\. .* - here is the needle, in code and words .* it\.…$|^….*- here is the needle, in code and.*…$/.test(excerpt), excerpt);
  equal(places.map(([start, end]) => excerpt.slice(start, end)), ["needle"]);
  ok(excerpt.length < 220 && excerpt.indexOf("needle") < 80, excerpt);
});

test("a short text is its own excerpt", () => {
  equal(excerptOf("A needle.", ["needle"]), { excerpt: "A needle.", places: [[2, 8]] });
});

test("an excerpt shows the words where they are near each other", () => {
  const text = `red ${"filler ".repeat(80)} then red and green together ${"filler ".repeat(80)}`;
  const { excerpt, places } = excerptOf(text, ["green", "red"]);
  equal(places.map(([start, end]) => excerpt.slice(start, end)), ["red"]);
  const near = excerptOf(`green ${"filler ".repeat(80)} red one, blue two ${"filler ".repeat(80)}`, ["green", "red", "blue"]);
  equal(near.places.map(([start, end]) => near.excerpt.slice(start, end)), ["red", "blue"]);
});

test("an excerpt without spaces cuts no character", () => {
  const { excerpt, places } = excerptOf(`${"🙂東京".repeat(100)}富士山${"🙂京都".repeat(100)}`, ["富士山"]);
  equal(places.map(([start, end]) => excerpt.slice(start, end)), ["富士山"]);
  ok(excerpt.isWellFormed());
});

test("an excerpt far into a text whose folded form is longer or shorter still has the word", () => {
  for (const before of ["ß", "한국", "مَدْرَسَةٌ ", "\n\n\n * \n", "e\u0301", "﷽ "]) {
    const { excerpt, places } = excerptOf(`${before.repeat(500)} needle ${before.repeat(500)}`, ["needle"]);
    equal([before, places.map(([start, end]) => excerpt.slice(start, end))], [before, ["needle"]]);
  }
});

// Cost

test("among 5,000 conversations the next letter looks only where the letters before it were found", async () => {
  const prose = "the words of a conversation are many, and most of them are in most of the others as well; ".repeat(4);
  const many = Array.from({ length: 5000 }, (_, at) => made(`Talk ${at}`, [prose, at % 500 ? "" : "a xylophone", prose]));
  // In memory: to write as many takes a busy machine too long.
  const store = {
    onChange() {},
    conversations: async () => many.map(({ conversation }) => conversation),
    allMessages: async function* () {
      yield many.flatMap(({ messages }) => messages);
    },
    messagesAt: async (/** @type {unknown[]} */ keys) => keys.map(() => undefined),
  };
  const index = new SearchIndex(/** @type {Store} */ (/** @type {unknown} */ (store)));
  await index.load();
  const typed = await looked(() => search(index, "the xyloph"));
  const next = await looked(() => search(index, "the xylopho"));
  equal((await search(index, "the xylophone")).total, 10);
  ok(typed > 5000 * prose.length, `only ${typed} characters`);
  ok(next < typed / 100, `${next} characters for the next letter, ${typed} for those before it`);
});

/**
 * How many characters of texts are looked at, at most: unlike a time, it is the same on every machine.
 *
 * @param {() => Promise<unknown>} act
 */
async function looked(act) {
  const { includes } = String.prototype;
  let characters = 0;
  /** @this {String} @param {string} word */
  String.prototype.includes = function (word) {
    characters += this.length;
    return includes.call(this, word);
  };
  try {
    await act();
  } finally {
    String.prototype.includes = includes;
  }
  return characters;
}
