/**
 * The field to search in, and what was found: a list of links, which arrows walk through. Loaded when the reader wants to
 * search, with all that it needs.
 */

import { isComposing } from "../keys.js";
import { SearchIndex } from "../search.js";
import { words } from "../words/index.js";
import { element, update } from "./element.js";
import { Jump } from "./jump.js";

/**
 * @typedef {import("../search.js").Hit} Hit
 * @typedef {import("../search.js").Found} Found
 */

/** How many hits are shown at first, and how many more each time that the reader wants more. */
const PAGE = 25;

/** How long the reader pauses before the outcome is said, in ms: not each letter's. */
const PAUSE_MS = 600;

/** How often what changes meanwhile is searched again, in ms. */
const AGAIN_MS = 500;

export class SearchView {
  #field;
  #options;
  #index;
  #jump;
  #count = element("p", { className: "found-count" });
  #list = element("ul");
  #more = element("button", { type: "button", hidden: true, onclick: () => this.#showMore() }, words.searching.more);
  #results = element("div", { className: "found", hidden: true }, this.#count, this.#list, this.#more);
  /** What is shown, by its conversation. @type {Map<string, {hit: Hit, item: HTMLLIElement, link: HTMLAnchorElement}>} */
  #items = new Map();
  #most = PAGE;
  /** The words of the hits that are shown. @type {string[]} */
  #words = [];
  /** Ends the search that runs. @type {AbortController | null} */
  #running = null;
  #isSearching = false;
  #again = 0;
  #saying = 0;

  /**
   * @param {HTMLElement} root has the field; what was found is put under it
   * @param {object} options
   * @param {import("../store.js").Store} options.store
   * @param {(conversation: string, message: string | null) => Promise<boolean>} options.open shows the conversation, and
   *   the branch that has the message; resolves once it is drawn, with whether it is there
   * @param {HTMLElement} options.scroller what the messages scroll in
   * @param {import("./follow.js").Follow} options.follow
   * @param {(isSearching: boolean) => void} options.searching called when the reader begins, and when he is done with it
   * @param {(text: string) => void} options.say called with what is to be told to those who listen to the page
   * @param {() => void} options.left called when the field was given up
   */
  constructor(root, options) {
    this.#field = /** @type {HTMLInputElement} */ (root.querySelector("input"));
    this.#options = options;
    this.#index = new SearchIndex(options.store, () => this.#changed());
    this.#jump = new Jump(options.scroller, options.follow);
    this.#list.ariaLabel = words.searching.results;
    root.append(this.#results);
    root.addEventListener("keydown", (event) => this.#pressed(event));
    this.#field.addEventListener("input", () => this.#typed());
    window.addEventListener("hashchange", () => this.#markShown());
    this.#index.load();
    // What was typed while this was loaded.
    if (this.#field.value !== "") this.#typed();
  }

  #typed() {
    this.#jump.end();
    this.#most = PAGE;
    const searched = this.#search();
    clearTimeout(this.#saying);
    const saying = (this.#saying = setTimeout(async () => {
      await searched;
      if (this.#isSearching && this.#saying === saying) this.#options.say(this.#count.textContent ?? "");
    }, PAUSE_MS));
  }

  async #search() {
    clearTimeout(this.#again);
    this.#again = 0;
    this.#running?.abort();
    const query = this.#field.value;
    this.#toggle(query.trim() !== "");
    if (!this.#isSearching) return this.#draw({ words: [], hits: [], total: 0, isWhole: true });
    const running = (this.#running = new AbortController());
    try {
      for await (const found of this.#index.search(query, { most: this.#most, signal: running.signal })) this.#draw(found);
    } catch (error) {
      if (!running.signal.aborted) throw error;
    }
  }

  /** Search again, but not for each change at once. */
  #changed() {
    if (!this.#isSearching || this.#again) return;
    this.#again = setTimeout(() => this.#search(), AGAIN_MS);
  }

  async #showMore() {
    const before = this.#items.size;
    this.#most += PAGE;
    await this.#search();
    // The button may be gone.
    [...this.#items.values()][before]?.link.focus();
  }

  /** @param {boolean} isSearching */
  #toggle(isSearching) {
    if (this.#isSearching === isSearching) return;
    this.#isSearching = isSearching;
    this.#options.searching(isSearching);
  }

  /** @param {Found} found */
  #draw(found) {
    this.#words = found.words;
    this.#drawItems(found.hits);
    update(this.#results, { hidden: !this.#isSearching });
    if (found.total === null) return;
    const { count, loading } = words.searching;
    const counted = found.isWhole ? count(found.total) : `${count(found.total)} ${loading}`;
    const text = found.words.length > 0 ? counted : "";
    update(this.#count, { textContent: text });
    update(this.#more, { hidden: found.total <= found.hits.length });
  }

  /** @param {Hit[]} hits */
  #drawItems(hits) {
    const focused = document.activeElement;
    const items = new Map(hits.map((hit) => [hit.conversation, this.#drawItem(hit)]));
    const before = [...this.#list.children];
    const after = [...items.values()].map(({ item }) => item);
    this.#items = items;
    this.#markShown();
    if (before.length === after.length && after.every((item, index) => item === before[index])) return;
    this.#list.replaceChildren(...after);
    // What is moved loses the focus.
    if (!(focused instanceof HTMLElement) || focused === document.activeElement || !before.some((item) => item.contains(focused))) return;
    if (focused.isConnected) focused.focus({ preventScroll: true });
    else this.#field.focus();
  }

  #markShown() {
    for (const { link } of this.#items.values()) update(link, { ariaCurrent: link.hash === location.hash ? "page" : null });
  }

  /** @param {Hit} hit */
  #drawItem(hit) {
    const known = this.#items.get(hit.conversation);
    if (known && JSON.stringify(known.hit) === JSON.stringify(hit)) return known;
    const link = known?.link ?? element("a", { href: `#/c/${hit.conversation}` });
    const item = known?.item ?? element("li", {}, link);
    link.onclick = (event) => this.#clicked(event, hit);
    const inTitle = hit.message === null;
    const title = element("strong", { dir: "auto" }, ...(inTitle ? marked(hit.title, hit.places) : [hit.title]));
    const text = element("span", { className: "found-text", dir: "auto" }, ...marked(hit.excerpt, inTitle ? [] : hit.places));
    const day = new Date(hit.updatedAt);
    const time = element("time", { dateTime: day.toISOString() }, words.searching.day(day));
    const others = hit.others > 0 ? [element("span", {}, words.searching.others(hit.others, inTitle))] : [];
    link.replaceChildren(title, ...(inTitle ? [] : [text]), element("small", {}, time, ...others));
    return { hit, item, link };
  }

  /**
   * @param {MouseEvent} event
   * @param {Hit} hit
   */
  #clicked(event, hit) {
    // Another tab, another window, a download: the browser's own affair.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#open(hit);
  }

  /** @param {Hit} hit */
  async #open({ conversation, message }) {
    const wanted = this.#words;
    const isThere = await this.#options.open(conversation, message);
    this.#markShown();
    if (isThere && message !== null) await this.#jump.to(message, wanted);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.defaultPrevented || isComposing(event) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const links = [...this.#items.values()].map(({ link }) => link);
    const at = links.findIndex((link) => link === document.activeElement);
    const isInField = event.target === this.#field;
    // With nothing to give up, it closes the drawer that this may be in.
    if (event.key === "Escape" && !this.#isSearching && this.#field.closest("dialog")) return;
    if (event.key === "Escape") this.#giveUp();
    else if (event.key === "ArrowDown" && (isInField || at >= 0)) links[at + 1]?.focus();
    else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? this.#field).focus();
    else if (event.key === "Enter" && isInField) links[0]?.click();
    else return;
    event.preventDefault();
  }

  #giveUp() {
    this.#field.value = "";
    this.#jump.end();
    this.#search();
    this.#options.left();
  }
}

/**
 * @param {string} text
 * @param {[start: number, end: number][]} places
 */
function marked(text, places) {
  const parts = [];
  let end = 0;
  for (const [from, to] of places) {
    parts.push(text.slice(end, from), element("mark", {}, text.slice(from, to)));
    end = to;
  }
  return [...parts, text.slice(end)];
}
