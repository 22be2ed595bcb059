import { groupsAt } from "../js/days.js";
import { defaultSettings } from "../js/store.js";
import { ListItems } from "../js/views/list_items.js";
import { equal, ok, test } from "./harness.js";

/**
 * @typedef {import("../js/store.js").Conversation} Conversation
 * @typedef {import("../js/chats.js").Chats} Chats
 */

const clock = Date.now;
const noon = new Date(2026, 9, 20, 12).getTime();
const daysBefore = (/** @type {number} */ days, hours = 12) => new Date(2026, 9, 20 - days, hours).getTime();

/** All conversations, in memory. What was asked of it is in `asked`. */
class FakeChats {
  shown = { id: "" };
  /** @type {Conversation[]} */
  list = [];
  running = new Set();
  /** @type {unknown[]} */
  asked = [];

  /** @param {Conversation[]} list */
  constructor(list) {
    this.list = list;
  }

  isRunning(/** @type {string} */ id) {
    return this.running.has(id);
  }

  rename(/** @type {string} */ id, /** @type {string} */ title) {
    this.asked.push(["rename", id, title]);
  }

  pin(/** @type {string} */ id, /** @type {boolean} */ pinned) {
    this.asked.push(["pin", id, pinned]);
  }

  async remove(/** @type {string[]} */ ids) {
    this.asked.push(["remove", ids.length > 3 ? ids.length : ids]);
  }

  async restore(/** @type {string[]} */ ids) {
    this.asked.push(["restore", ids]);
  }

  async forget(/** @type {string[]} */ ids) {
    this.asked.push(["forget", ids.length]);
  }

  /** @param {string} id @param {Partial<Conversation>} changes */
  change(id, changes) {
    this.list = this.list.map((one) => (one.id === id ? { ...one, ...changes } : one));
  }
}

/** @param {string} id @param {number} updatedAt @param {Partial<Conversation>} [more] @returns {Conversation} */
function conversation(id, updatedAt, more = {}) {
  const rest = { createdAt: 0, head: null, settings: defaultSettings(), outbox: [], deletedAt: null };
  return { id, title: `Title ${id}`, pinned: false, updatedAt, ...rest, ...more };
}

/** Some conversations of one day, the newest first: a, b, c. */
function some(names = "abc") {
  return [...names].map((name, index) => conversation(name, noon - index));
}

/** @type {Promise<Document>} */
const page = new Promise((resolve) => {
  const request = new XMLHttpRequest();
  request.responseType = "document";
  request.open("GET", "../index.html");
  request.onload = () => resolve(/** @type {Document} */ (request.responseXML));
  request.send();
});

/**
 * Draw a list as the page has it, and take it away after the test.
 *
 * @param {Conversation[]} list
 * @param {(drawn: ReturnType<typeof parts>) => unknown} body
 */
async function withList(list, body) {
  Date.now = () => noon;
  const styles = ["theme", "layout", "list"].map((name) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `../styles/${name}.css` });
    document.head.append(link);
    return link;
  });
  await Promise.all(styles.map((link) => new Promise((resolve) => (link.onload = resolve))));
  const root = /** @type {HTMLElement} */ (document.importNode(/** @type {Element} */ ((await page).querySelector(".list")), true));
  document.body.append(root);
  try {
    const drawn = parts(root, new FakeChats(list));
    drawn.items.draw();
    await body(drawn);
  } finally {
    Date.now = clock;
    for (const element of [root, ...styles, ...document.querySelectorAll("dialog")]) element.remove();
    history.replaceState(null, "", " ");
  }
}

/** @param {HTMLElement} root @param {FakeChats} chats */
function parts(root, chats) {
  /** @type {string[]} */
  const said = [];
  const chosen = /** @type {Chats} */ (/** @type {unknown} */ (chats));
  const items = new ListItems(root, chosen, {
    button: document.createElement("button"),
    say: (text) => void said.push(text),
    exportOne: (id) => void chats.asked.push(["export", id]),
  });
  const find = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
  return {
    root,
    chats,
    items,
    said,
    find,
    link: (/** @type {string} */ id) => find(`li[data-id="${id}"] a`),
    more: (/** @type {string} */ id) => find(`li[data-id="${id}"] .more`),
    /** Choose from a conversation's menu. */
    choose(/** @type {string} */ id, /** @type {string} */ name) {
      this.more(id).click();
      const entries = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[role=menuitem]")]);
      entries.find(({ textContent }) => textContent === name)?.click();
    },
    ids: () => [...root.querySelectorAll("li")].map(({ dataset }) => dataset.id),
    headings: () => [...root.querySelectorAll("h2")].map(({ textContent }) => textContent),
  };
}

/** @param {string} key @param {KeyboardEventInit} [more] */
function press(key, more = {}) {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more });
  document.activeElement?.dispatchEvent(event);
  return event;
}

/** Wait until it is so. @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await new Promise(requestAnimationFrame);
}

test("times are grouped by the days of the reader's clock", () => {
  const { until, groupOf } = groupsAt(noon);
  const groups = [0, 1, 2, 7, 8, 30, 31].map((days) => [groupOf(daysBefore(days, 0)), groupOf(daysBefore(days, 24) - 1)]);
  equal(
    groups.map(([first, last]) => (first === last ? first : [first, last])),
    ["today", "yesterday", "week", "week", "month", "month", "2026-9"],
  );
  equal(until, daysBefore(-1, 0));
  equal(groupOf(daysBefore(-3)), "today"); // a clock that went wrong
  equal(groupOf(new Date(2024, 0, 1).getTime()), "2024-1");
});

test("conversations stand in groups, the pinned ones first, older ones by month", async () => {
  const list = [
    conversation("a", daysBefore(0)),
    conversation("b", daysBefore(1)),
    conversation("c", daysBefore(3)),
    conversation("d", daysBefore(20)),
    conversation("e", daysBefore(40), { pinned: true }),
    conversation("f", daysBefore(45)),
    conversation("g", daysBefore(400)),
  ];
  await withList(list, ({ ids, headings }) => {
    equal(headings(), ["Pinned", "Today", "Yesterday", "Last 7 days", "Last 30 days", "September 2026", "September 2025"]);
    equal(ids(), ["e", "a", "b", "c", "d", "f", "g"]);
  });
});

test("at midnight they are grouped again", async () => {
  await withList([conversation("a", noon)], async ({ chats, items, headings }) => {
    equal(headings(), ["Today"]);
    Date.now = () => daysBefore(-1, 0) - 20;
    chats.list = [...chats.list];
    items.draw();
    Date.now = () => daysBefore(-1, 0);
    await until(() => headings()[0] === "Yesterday");
  });
});

test("only what changed is drawn", async () => {
  await withList(some("abcdef"), ({ root, chats, items, ids, link }) => {
    const observer = new MutationObserver(() => {});
    observer.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
    const changed = () => observer.takeRecords().length;
    items.draw();
    chats.list = [...chats.list];
    items.draw();
    equal(changed(), 0);
    const f = link("f");
    chats.list = [conversation("f", noon + 1), ...chats.list.slice(0, 5)];
    items.draw();
    equal(ids(), ["f", "a", "b", "c", "d", "e"]);
    ok(link("f") === f);
    ok(changed() <= 2, "one element is taken out and put in");
    chats.change("c", { title: "Other" });
    items.draw();
    equal(changed(), 3); // the text, and the two names
  });
});

test("what has the focus keeps it when it moves; when it goes, another one has it", async () => {
  await withList(some(), ({ chats, items, link }) => {
    link("c").focus();
    chats.list = [conversation("c", noon + 1, { pinned: true }), ...some("ab")];
    items.draw();
    ok(document.activeElement === link("c"));
    chats.list = some("ab");
    items.draw();
    ok(document.activeElement === link("a"));
  });
});

test("the conversation that is shown is marked, and so is each whose answer runs", async () => {
  await withList(some(), ({ root, chats, items, link }) => {
    const current = () => [...root.querySelectorAll("[aria-current=page]")].map(({ textContent }) => textContent);
    equal(current(), []);
    chats.shown = { id: "b" };
    chats.running.add("c");
    items.draw();
    ok(link("b").ariaCurrent === "page" && link("a").ariaCurrent === null);
    ok(link("c").innerText.includes("An answer is being written") && !link("a").innerText.includes("answer"));
    chats.shown = { id: "a" };
    chats.running.clear();
    items.draw();
    equal(current().length, 1);
    ok(link("a").ariaCurrent === "page" && !link("c").innerText.includes("answer"));
  });
});

test("a title is one line, in its own direction; without one there is a name for it", async () => {
  const list = [conversation("a", noon, { title: "word ".repeat(100) }), conversation("b", noon, { title: "" })];
  await withList(list, ({ find, link, more }) => {
    equal(find(".title").dir, "auto");
    ok(link("a").offsetHeight < 50 && find(".items").scrollWidth <= find(".items").clientWidth);
    ok(link("b").innerText.startsWith("Untitled") && more("b").ariaLabel === "More: Untitled");
  });
});

test("of many, the first are drawn, and more as the reader scrolls", async () => {
  const list = Array.from({ length: 350 }, (_, index) => conversation(`c${index}`, noon - index));
  await withList(list, async ({ root, find, ids }) => {
    const scroller = find(".items");
    root.style.blockSize = "500px";
    equal(ids().length, 100);
    await new Promise((resolve) => setTimeout(resolve, 100));
    equal(ids().length, 100);
    while (ids().length < 350) {
      scroller.scrollTop = scroller.scrollHeight;
      await new Promise(requestAnimationFrame);
    }
    equal(ids(), list.map(({ id }) => id));
  });
});

test("5,000 are no burden", async () => {
  const list = Array.from({ length: 5000 }, (_, index) => conversation(`c${index}`, noon - index * 3e6));
  await withList(list, ({ root, chats, items }) => {
    // The best of some: the machine may be busy with something else.
    const time = (/** @type {() => void} */ body) => {
      const times = [1, 2, 3, 4, 5].map(() => {
        const start = performance.now();
        body();
        root.getBoundingClientRect();
        return performance.now() - start;
      });
      return Math.min(...times);
    };
    const idle = time(() => items.draw());
    const added = time(() => {
      chats.list = [conversation(`new${chats.list.length}`, noon), ...chats.list];
      items.draw();
    });
    ok(idle < 5 && added < 25, `${idle} ms, ${added} ms`);
  });
});

// The keyboard

test("the list is one stop for the Tab key, and arrow keys walk in it", async () => {
  await withList(some(), ({ root, link, more }) => {
    const stops = () => [...root.querySelectorAll("li [tabindex='0']")];
    const focused = () => document.activeElement;
    equal(stops().length, 2);
    ok(stops()[0] === link("a"));
    link("a").focus();
    press("ArrowDown");
    ok(focused() === link("b") && stops()[0] === link("b") && stops().length === 2);
    press("End");
    press("ArrowDown");
    ok(focused() === link("c"));
    more("c").focus();
    press("ArrowUp");
    ok(focused() === more("b"));
    press("Home");
    ok(focused() === more("a"));
  });
});

test("the Tab key comes to the conversation that is shown", async () => {
  await withList(some(), ({ chats, items, link }) => {
    chats.shown = { id: "c" };
    items.draw();
    equal([link("a").tabIndex, link("c").tabIndex], [-1, 0]);
  });
});

test("the menu is used with the keyboard, and gives the focus back", async () => {
  await withList(some(), ({ root, find, more, chats }) => {
    const menu = find("[role=menu]");
    const at = () => document.activeElement?.textContent;
    more("b").focus();
    more("b").click();
    ok(!menu.hidden && more("b").ariaExpanded === "true" && menu.ariaLabel === "More: Title b");
    equal(at(), "Rename");
    press("ArrowUp");
    equal(at(), "Delete");
    press("ArrowDown");
    press("ArrowDown");
    equal(at(), "Pin");
    press("e");
    equal(at(), "Export");
    press("End");
    press("Home");
    equal(at(), "Rename");
    ok(press("Escape").defaultPrevented, "it means nothing else then");
    ok(menu.hidden && document.activeElement === more("b") && more("b").ariaExpanded === "false");
    more("b").click();
    ok(!press("Tab").defaultPrevented && menu.hidden && document.activeElement === more("b"));
    more("b").click();
    more("b").click();
    ok(menu.hidden, "the second press closes it");
    more("b").click();
    root.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
    ok(menu.hidden, "a press beside it closes it");
    equal(chats.asked, []);
  });
});

// What can be done

test("a conversation is pinned, unpinned and exported", async () => {
  await withList(some(), (drawn) => {
    const { chats, items, said } = drawn;
    drawn.choose("b", "Pin");
    chats.change("b", { pinned: true });
    items.draw();
    drawn.choose("b", "Unpin");
    drawn.choose("a", "Export");
    equal(chats.asked, [["pin", "b", true], ["pin", "b", false], ["export", "a"]]);
    equal(said, ["Pinned: Title b", "Unpinned: Title b"]);
  });
});

/** @param {(input: HTMLInputElement) => void} act @returns {Promise<unknown[]>} what was asked for */
async function renaming(act) {
  /** @type {unknown[]} */
  let asked = [];
  await withList(some(), (drawn) => {
    drawn.choose("b", "Rename");
    const input = /** @type {HTMLInputElement} */ (document.activeElement);
    equal([input.value, input.ariaLabel, input.selectionEnd], ["Title b", "Title", 7]);
    act(input);
    equal(drawn.root.querySelectorAll("li input").length, 0);
    asked = drawn.chats.asked;
  });
  return asked;
}

test("a title is changed in its place: Enter and leaving keep it, Esc does not", async () => {
  const type = (/** @type {string} */ text, /** @type {(input: HTMLInputElement) => void} */ end) =>
    renaming((input) => {
      input.value = text;
      end(input);
    });
  equal(await type(" New \n one ", () => ok(press("Enter").defaultPrevented)), [["rename", "b", "New one"]]);
  equal(await type("New one", (input) => input.blur()), [["rename", "b", "New one"]]);
  equal(await type("New one", () => ok(press("Escape").defaultPrevented)), []);
  equal(await type("  ", () => press("Enter")), []);
  equal(await type("Title b", () => press("Enter")), []);
});

test("what an input method does with its keys is no end of a title", async () => {
  await renaming((input) => {
    press("Enter", { isComposing: true });
    press("Enter", /** @type {KeyboardEventInit} */ ({ keyCode: 229 }));
    press("Escape", { isComposing: true });
    ok(document.activeElement === input);
    press("Escape");
    equal(/** @type {HTMLElement} */ (document.activeElement).className, "more");
  });
});

test("while a title is changed nothing moves", async () => {
  await withList(some(), (drawn) => {
    const { chats, items, ids } = drawn;
    drawn.choose("c", "Rename");
    const input = document.activeElement;
    chats.list = [conversation("c", noon + 1), ...some("ab")];
    items.draw();
    ok(document.activeElement === input);
    equal(ids(), ["a", "b", "c"]);
    press("Escape");
    equal(ids(), ["c", "a", "b"]);
  });
});

test("a conversation is deleted at once, and brought back", async () => {
  await withList(some(), async (drawn) => {
    const { chats, items, said, find, link } = drawn;
    history.replaceState(null, "", "#/c/a");
    chats.shown = { id: "a" };
    drawn.choose("b", "Delete");
    equal([chats.asked, said, location.hash], [[["remove", ["b"]]], ["Deleted: Title b"], "#/c/a"]);
    chats.list = some("ac");
    items.draw();
    equal(document.activeElement?.textContent, "Undo");
    equal(find(".undo p").textContent, "Deleted: Title b");
    chats.list = some();
    /** @type {HTMLElement} */ (document.activeElement).click();
    ok(find(".undo").hidden);
    await until(() => document.activeElement === link("b"));
    equal([chats.asked.at(-1), said.at(-1), location.hash], [["restore", ["b"]], "Brought back: Title b", "#/c/a"]);
  });
});

test("bringing back the one that was shown shows it, and leaves no step back", async () => {
  await withList(some(), async (drawn) => {
    const { chats, items, find } = drawn;
    history.replaceState(null, "", "#/c/b");
    const { length } = history;
    chats.shown = { id: "b" };
    drawn.choose("b", "Delete");
    chats.shown = { id: "" };
    chats.list = some("ac");
    history.replaceState(null, "", "#/");
    items.draw();
    find(".undo button").click();
    await until(() => location.hash === "#/c/b");
    equal(history.length, length);
  });
});

test("all are deleted after a question that says what will go", async () => {
  const list = Array.from({ length: 127 }, (_, index) => conversation(`c${index}`, noon - index));
  await withList(list, async ({ chats, items, find, said }) => {
    const dialog = () => document.querySelector("dialog");
    find(".delete-all").click();
    ok(dialog()?.innerText.includes("127 conversations with all their messages, in this browser. This cannot be undone."));
    equal(document.activeElement?.textContent, "Cancel");
    /** @type {HTMLElement} */ (document.activeElement).click();
    await until(() => !dialog());
    equal(chats.asked, []);
    find(".delete-all").click();
    chats.list = [conversation("new", noon + 1), ...chats.list];
    /** @type {HTMLElement} */ (dialog()?.querySelector(".danger")).click();
    await until(() => said.length > 0);
    equal([chats.asked, said], [[["forget", 127]], ["Deleted: 127 conversations"]]);
    chats.list = [];
    items.draw();
    ok(!find(".delete-all").checkVisibility());
  });
});
