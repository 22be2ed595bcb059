/**
 * The conversations, grouped by day, and what can be done with each.
 *
 * Each has one element, kept as long as the conversation is there, and only what changed is drawn. Of many, the first
 * hundred are drawn, and more as the reader comes to their end.
 *
 * For the Tab key all of them together are one stop; the arrow keys walk among them. While the reader has one of them
 * in hand, with its menu open or its title being changed, none of them moves.
 */

import { groupsAt } from "../days.js";
import { isComposing } from "../keys.js";
import { words } from "../words/index.js";
import { confirm } from "./confirm.js";
import { element, update } from "./element.js";
import { Menu } from "./menu.js";
import { Undo } from "./undo.js";

/**
 * @typedef {import("../store.js").Conversation} Conversation
 * @typedef {import("./list.js").Chats} Chats
 * @typedef {import("./list.js").Options} Options
 *
 * @typedef {{id: string, title: string, wasShown: boolean}} Removed
 */

/** How many are drawn at first, and how many more each time. */
const STEP = 100;

/** How long before the reader is at their end more are drawn. */
const AHEAD = "800px";

/** The longest title that can be typed, in UTF-16 code units. */
const MOST_TITLE = 200;

/** The longest time a browser waits for, in ms. */
const LONGEST_MS = 2 ** 31 - 1;

export class ListItems {
  #root;
  #chats;
  #options;
  #scroller;
  #none;
  #deleteAll;
  #end = element("div", { className: "end" });
  #menu = new Menu(() => this.draw());
  /** What can be brought back. @type {Removed[]} */
  #removed = [];
  #undo = new Undo(() => this.#focusStop());
  #observer;
  /** @type {Map<string, {root: HTMLElement, list: HTMLElement}>} */
  #groups = new Map();
  /** @type {Map<string, Item>} in the order in which they are shown */
  #items = new Map();
  #most = STEP;
  /** What was drawn last, and until when that holds. @type {readonly Conversation[] | null} */
  #list = null;
  #until = 0;
  #timer = 0;
  #shown = "";
  /** The one that the Tab key comes to. */
  #stop = "";
  /** @type {Item | null} */
  #renamed = null;

  /**
   * @param {HTMLElement} root
   * @param {Chats} chats
   * @param {Options} options
   */
  constructor(root, chats, options) {
    this.#root = root;
    this.#chats = chats;
    this.#options = options;
    const part = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (root.querySelector(selector));
    this.#scroller = part(".items");
    this.#none = part(".none");
    this.#deleteAll = part(".delete-all");
    this.#deleteAll.addEventListener("click", () => this.#removeAll());
    this.#scroller.append(this.#end);
    this.#scroller.after(this.#undo.root);
    root.append(this.#menu.root);
    this.#scroller.addEventListener("click", (event) => this.#clicked(event));
    this.#scroller.addEventListener("focusin", ({ target }) => this.#setStop(this.#itemOf(target)?.id ?? this.#stop));
    this.#scroller.addEventListener("keydown", (event) => this.#pressed(event));
    // Timers stand still while a computer sleeps.
    document.addEventListener("visibilitychange", () => this.draw());
    this.#observer = new IntersectionObserver((entries) => entries.at(-1)?.isIntersecting && this.#drawMore(), {
      root: this.#scroller,
      rootMargin: AHEAD,
    });
    this.#observer.observe(this.#end);
  }

  draw() {
    const { list } = this.#chats;
    const isHeld = this.#renamed !== null || this.#menu.isOpen;
    if (!isHeld && (list !== this.#list || Date.now() >= this.#until)) this.#arrange(list);
    for (const item of this.#items.values()) item.mark(this.#chats.isRunning(item.id));
    this.#showShown();
  }

  /** @param {readonly Conversation[]} list */
  #arrange(list) {
    this.#list = list;
    update(this.#deleteAll, { hidden: list.length === 0 });
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const hadFocus = focused !== null && this.#scroller.contains(focused);
    this.#arrangeGroups(this.#grouped(list));
    if (!this.#items.has(this.#stop)) this.#setStop(this.#items.keys().next().value ?? "");
    if (!hadFocus || document.activeElement === focused) return;
    if (focused.isConnected) focused.focus({ preventScroll: true });
    else this.#focusStop();
  }

  /**
   * What is to be drawn: the conversations of each group, both in their order.
   *
   * @param {readonly Conversation[]} list
   */
  #grouped(list) {
    const now = Date.now();
    const { until, groupOf } = groupsAt(now);
    this.#until = until;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.draw(), Math.min(until - now, LONGEST_MS));
    const pinned = list.filter((conversation) => conversation.pinned);
    const others = list.filter((conversation) => !conversation.pinned);
    /** @type {Map<string, Conversation[]>} */
    const groups = new Map();
    for (const conversation of [...pinned, ...others].slice(0, this.#most)) {
      const name = conversation.pinned ? "pinned" : groupOf(conversation.updatedAt);
      const group = groups.get(name) ?? [];
      groups.set(name, group);
      group.push(conversation);
    }
    return groups;
  }

  /** @param {Map<string, Conversation[]>} groups */
  #arrangeGroups(groups) {
    const before = this.#items;
    this.#items = new Map();
    const roots = [...groups].map(([name, conversations]) => {
      const group = this.#groups.get(name) ?? newGroup(name, conversations[0]?.updatedAt ?? 0);
      this.#groups.set(name, group);
      const items = conversations.map((conversation) => {
        const item = before.get(conversation.id) ?? new Item(conversation.id);
        this.#items.set(conversation.id, item);
        item.draw(conversation);
        return item.root;
      });
      place(group.list, items);
      return group.root;
    });
    place(this.#scroller, [this.#none, ...roots, this.#end]);
    for (const name of this.#groups.keys()) if (!groups.has(name)) this.#groups.delete(name);
  }

  #drawMore() {
    if (this.#most >= this.#chats.list.length) return;
    this.#most += STEP;
    // Of what stays in view the observer would say nothing more.
    this.#observer.unobserve(this.#end);
    this.#observer.observe(this.#end);
    this.#list = null;
    this.draw();
  }

  /** Mark the conversation that is shown, and bring it into view when it is another one. */
  #showShown() {
    const { id } = this.#chats.shown;
    const item = this.#items.get(id);
    if (id !== this.#shown) this.#items.get(this.#shown)?.markShown(false);
    item?.markShown(true);
    if (id === this.#shown) return;
    this.#shown = id;
    if (!item) return;
    if (!this.#scroller.contains(document.activeElement)) this.#setStop(id);
    item.link.scrollIntoView({ block: "nearest" });
  }

  // The keyboard

  /** @param {string} id */
  #setStop(id) {
    this.#items.get(this.#stop)?.setStop(false);
    this.#stop = id;
    this.#items.get(id)?.setStop(true);
  }

  #focusStop() {
    const item = this.#items.get(this.#stop);
    if (item) item.link.focus({ preventScroll: true });
    else /** @type {HTMLElement | null} */ (this.#root.querySelector("footer button"))?.focus();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!target.matches("a, .more") || event.ctrlKey || event.metaKey || event.altKey) return;
    const ids = [...this.#items.keys()];
    const at = ids.indexOf(this.#stop);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const item = this.#items.get(ids[next] ?? "");
    (target.matches("a") ? item?.link : item?.more)?.focus();
  }

  // What can be done

  /** @param {EventTarget | null} target */
  #itemOf(target) {
    const id = target instanceof Element && /** @type {HTMLElement | null} */ (target.closest("li"))?.dataset.id;
    return this.#items.get(id || "");
  }

  /** @param {MouseEvent} event */
  #clicked({ target }) {
    const item = this.#itemOf(target);
    if (item && target instanceof Element && target.closest(".more")) this.#openMenu(item);
  }

  /** @param {Item} item */
  #openMenu(item) {
    const { actions, list } = words;
    const { id, conversation } = item;
    this.#menu.toggle(item.more, list.more(item.title), [
      { name: actions.rename, act: () => this.#rename(item) },
      { name: conversation.pinned ? list.unpin : list.pin, act: () => this.#pin(item) },
      { name: list.export, act: () => this.#options.exportOne(id) },
      { name: actions.delete, className: "danger", act: () => this.#remove(item) },
    ]);
  }

  /** @param {Item} item */
  #rename(item) {
    this.#renamed = item;
    item.rename((title) => {
      this.#renamed = null;
      if (title !== null) {
        this.#chats.rename(item.id, title);
        this.#options.say(words.list.renamed(title));
      }
      this.draw();
    });
  }

  /** @param {Item} item */
  #pin({ id, title, conversation: { pinned } }) {
    this.#chats.pin(id, !pinned);
    this.#options.say(pinned ? words.list.unpinnedThis(title) : words.list.pinnedThis(title));
  }

  /** @param {Item} item the one that goes */
  #remove({ id, title }) {
    // One after the other: each can still be brought back.
    if (!this.#undo.isOffered) this.#removed = [];
    this.#removed.push({ id, title, wasShown: id === this.#chats.shown.id });
    this.#setStop(this.#neighbour(id));
    this.#chats.remove([id]);
    const text = this.#removed.length === 1 ? words.list.deleted(title) : words.deletedAll(this.#removed.length);
    this.#options.say(text);
    this.#undo.offer(text, () => this.#restore(this.#removed));
  }

  /** @param {Removed[]} removed */
  async #restore(removed) {
    await this.#chats.restore(removed.map(({ id }) => id));
    this.#options.say(words.list.restored(removed.map(({ title }) => title).join(", ")));
    // In the place of the new chat that came after it: going back is not to lead there.
    const shown = removed.find(({ wasShown }) => wasShown);
    if (shown) location.replace(`#/c/${shown.id}`);
    this.draw();
    this.#setStop(removed.at(-1)?.id ?? "");
    this.#focusStop();
  }

  /**
   * The one below, or else the one above.
   *
   * @param {string} id
   */
  #neighbour(id) {
    const ids = [...this.#items.keys()];
    const at = ids.indexOf(id);
    return ids[at + 1] ?? ids[at - 1] ?? "";
  }

  async #removeAll() {
    const ids = this.#chats.list.map((conversation) => conversation.id);
    const isSure = await confirm(words.list.deleteAllTitle, words.deleteAll(ids.length), words.page.deleteAll);
    if (!isSure) return;
    this.#undo.withdraw();
    await this.#chats.forget(ids);
    this.#options.say(words.deletedAll(ids.length));
    this.draw();
    this.#focusStop();
  }
}

/** One conversation: a link to it, and the button of its menu. */
class Item {
  root = element("li");
  link = element("a", { tabIndex: -1 });
  more = element("button", { type: "button", className: "more", tabIndex: -1, ariaHasPopup: "menu", ariaExpanded: "false" });
  /** As it was drawn last. @type {Conversation} */
  // @ts-expect-error: it is drawn as soon as it is made
  conversation;
  #title = element("span", { className: "title", dir: "auto" });
  /** @type {HTMLElement | null} */
  #running = null;

  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.root.dataset.id = id;
    this.link.href = `#/c/${id}`;
    this.link.append(this.#title);
    this.root.append(this.link, this.more);
  }

  get title() {
    return this.conversation.title || words.list.untitled;
  }

  /** @param {Conversation} conversation */
  draw(conversation) {
    this.conversation = conversation;
    const { title } = this;
    if (this.#title.textContent === title) return;
    this.#title.textContent = this.link.title = title;
    this.more.ariaLabel = words.list.more(title);
  }

  /** @param {boolean} isRunning */
  mark(isRunning) {
    if (isRunning === (this.#running !== null)) return;
    this.#running?.remove();
    const spoken = element("span", { className: "visually-hidden" }, ` ${words.list.running}`);
    this.#running = isRunning ? element("span", { className: "running" }, spoken) : null;
    if (this.#running) this.link.append(this.#running);
  }

  /** @param {boolean} isShown */
  markShown(isShown) {
    update(this.link, { ariaCurrent: isShown ? "page" : null });
  }

  /** @param {boolean} isStop whether the Tab key comes here */
  setStop(isStop) {
    this.link.tabIndex = this.more.tabIndex = isStop ? 0 : -1;
  }

  /**
   * Let the reader change the title, in its place.
   *
   * @param {(title: string | null) => void} done called with the new title, or with null if it stays as it is
   */
  rename(done) {
    const input = element("input", { type: "text", dir: "auto", maxLength: MOST_TITLE, value: this.title, autocomplete: "off" });
    input.ariaLabel = words.list.title;
    let isDone = false;
    const end = (/** @type {boolean} */ isKept, /** @type {boolean} */ isLeft) => {
      // What takes the input away takes the focus from it, too.
      if (isDone) return;
      isDone = true;
      const title = input.value.replace(/\s+/g, " ").trim();
      input.replaceWith(this.link);
      if (!isLeft) this.more.focus({ preventScroll: true });
      done(isKept && title !== "" && title !== this.title ? title : null);
    };
    input.addEventListener("keydown", (event) => {
      if (isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      // Else Esc would stop the answer, or close the drawer.
      event.preventDefault();
      end(event.key === "Enter", false);
    });
    input.addEventListener("blur", () => end(true, true));
    this.link.replaceWith(input);
    input.focus();
    input.select();
  }
}

/**
 * @param {string} name
 * @param {number} time of one of its conversations
 */
function newGroup(name, time) {
  const { pinned, today, yesterday, week, month } = words.list;
  /** @type {Record<string, string>} */
  const names = { pinned, today, yesterday, week, month };
  const list = element("ul");
  return { root: element("section", {}, element("h2", {}, names[name] ?? words.month(time)), list), list };
}

/**
 * Let an element have these children, in this order. What is there already is not moved without need.
 *
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} children
 */
function place(parent, children) {
  const wanted = new Set(/** @type {Element[]} */ (children));
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}
