/**
 * Draws the tree of blocks that `blocks.js` keeps.
 *
 * A view draws its block as often as that changes, and once more when it is final: from then on neither is looked at
 * again. So drawing costs what is open, not what has been written. Each view has `draw(block)`, which shows what may
 * still change; `settle(block)`, which takes what of an open block cannot; and `finish(block)`.
 */

import { CodeView } from "./code_view.js";
import { FormulaView } from "./formula_view.js";
import { formulaOf } from "./formulas.js";
import { InlineView, showText } from "./inline_view.js";
import { keepSelection } from "./selection.js";
import { TableView } from "./table_view.js";

/**
 * @typedef {import("./block.js").Block} Block
 * @typedef {import("./context.js").RenderContext} RenderContext
 *
 * @typedef {object} BlockView
 * @property {string} key a view may draw another block only if that has the same key
 * @property {Element | null} element
 * @property {(block: Block) => void} draw
 * @property {(block: Block) => void} settle
 * @property {(block: Block) => void} finish
 * @property {() => void} [remove] where there is more to it than the element
 * @property {Element | null} [end] where its text ends
 */

/** @param {Block} block */
function keyOf(block) {
  switch (block.kind) {
    case "heading":
      return `h${block.level}`;
    case "list":
      return block.start === null ? "ul" : `ol ${block.start}`;
    case "footnote":
      return `footnote ${block.label}`;
    case "code":
      return `code ${block.label}`;
    default:
      return block.kind;
  }
}

/** Blocks below each other. */
class Blocks {
  context;
  /** What holds its blocks. */
  host;
  /** What stands in its place. @type {Element | null} */
  element;
  /** @type {BlockView[]} */
  views = [];
  #finished = 0;

  /**
   * @param {RenderContext} context
   * @param {Element} element
   */
  constructor(context, element) {
    this.context = context;
    this.host = element;
    this.element = element;
  }

  /** @returns {Element | null} */
  get end() {
    const last = this.views.at(-1);
    return last ? (last.end ?? null) : this.element;
  }

  /** @param {Block} block */
  settle(block) {
    for (; this.#finished < block.children.length; this.#finished += 1) {
      const child = /** @type {Block} */ (block.children[this.#finished]);
      // What an open paragraph will most likely be is known only when it is drawn.
      if (child.open && child.kind === "paragraph") return;
      const view = this.#view(this.#finished, child);
      if (child.open) {
        view.settle(child);
        return;
      }
      view.finish(child);
      // The tree need not remember what is on the screen.
      child.text = "";
      child.children = [];
      this.finished(this.#finished + 1);
    }
  }

  /** @param {Block} block */
  draw(block) {
    for (let index = this.#finished; index < block.children.length; index += 1) {
      const child = /** @type {Block} */ (block.children[index]);
      this.#view(index, child).draw(child);
    }
    this.#cut(block.children.length);
  }

  /** @param {Block} block */
  finish(block) {
    this.settle(block);
    this.#cut(block.children.length);
  }

  /**
   * @param {number} index
   * @param {Block} block
   */
  #view(index, block) {
    const have = this.views[index];
    const key = keyOf(block);
    if (have?.key === key) return have;
    if (have) this.#cut(index + 1);
    const view = this.makeView(block, key, index);
    if (have instanceof LeafView && view instanceof LeafView) keepSelection(() => view.takeOver(have));
    else if (have) remove(have);
    this.views[index] = view;
    if (view.element && !view.element.parentNode) this.hostOf(index).append(view.element);
    return view;
  }

  /** @param {number} count */
  #cut(count) {
    for (const view of this.views.splice(count)) remove(view);
  }

  // What a kind of container may do its own way:

  /** The element for the block of this index. @param {number} _index @returns {Element} */
  hostOf(_index) {
    return this.host;
  }

  /**
   * @param {Block} block
   * @param {string} key
   * @param {number} _index
   */
  makeView(block, key, _index) {
    return makeView(this.context, block, key);
  }

  /** @param {number} _count of blocks that are final now */
  finished(_count) {}
}

/** @param {BlockView} view */
function remove(view) {
  if (view.remove) view.remove();
  else view.element?.remove();
}

/** How many blocks share a group. */
const GROUP = 16;

/**
 * The whole text. Its blocks stand in groups: what grows is laid out anew within its group only, and a group that is
 * complete and out of sight is not laid out at all (`content-visibility`).
 */
export class DocumentView extends Blocks {
  /** @type {HTMLElement[]} */
  #groups = [];
  /** How many of them are complete; some of these may not be there, as nothing of theirs is shown. */
  #closed = 0;

  /** @param {Block} block */
  draw(block) {
    super.draw(block);
    while (this.#groups.at(-1)?.childNodes.length === 0) this.#groups.pop()?.remove();
  }

  /**
   * @param {number} index
   * @override
   */
  hostOf(index) {
    const number = Math.floor(index / GROUP);
    while (this.#groups.length <= number) {
      const group = document.createElement("div");
      group.className = this.#groups.length < this.#closed ? "md-group md-closed" : "md-group";
      const last = this.#groups.at(-1);
      if (last) last.after(group);
      else this.host.prepend(group);
      this.#groups.push(group);
    }
    return /** @type {HTMLElement} */ (this.#groups[number]);
  }

  /**
   * @param {number} count
   * @override
   */
  finished(count) {
    if (count % GROUP !== 0) return;
    this.#closed = count / GROUP;
    this.#groups[this.#closed - 1]?.classList.add("md-closed");
  }
}

class QuoteView extends Blocks {
  key = "quote";

  /** @param {RenderContext} context */
  constructor(context) {
    super(context, withDirection(document.createElement("blockquote")));
  }

  /**
   * @param {Block} block
   * @param {string} key
   * @param {number} index
   * @override
   */
  makeView(block, key, index) {
    return leaveDirection(super.makeView(block, key, index), index);
  }
}

/** The text of a footnote: it stands in their section, not where it was written. */
class FootnoteView extends Blocks {
  /**
   * @param {RenderContext} context
   * @param {Block} block
   * @param {string} key
   */
  constructor(context, block, key) {
    super(context, context.footnotes.claim(block.label));
    this.element = /** @type {Element | null} */ (null);
    this.key = key;
  }

  remove() {
    this.context.footnotes.release(this.host);
  }
}

class ListView extends Blocks {
  #loose = false;

  /**
   * @param {RenderContext} context
   * @param {Block} block
   * @param {string} key
   */
  constructor(context, block, key) {
    const list = document.createElement(block.start === null ? "ul" : "ol");
    if (list instanceof HTMLOListElement && block.start !== 1) list.start = block.start ?? 1;
    super(context, list);
    this.key = key;
  }

  /** @override */
  makeView() {
    return new ItemView(this.context, this.#loose);
  }

  /** @param {Block} block @override */
  settle(block) {
    if (block.loose && !this.#loose) {
      this.#loose = true;
      keepSelection(() => this.views.forEach((view) => /** @type {ItemView} */ (view).loosen()));
    }
    super.settle(block);
  }
}

class ItemView extends Blocks {
  key = "item";
  #loose;

  /**
   * @param {RenderContext} context
   * @param {boolean} loose
   */
  constructor(context, loose) {
    super(context, withDirection(document.createElement("li")));
    this.#loose = loose;
  }

  /**
   * @param {Block} block
   * @param {string} key
   * @param {number} index
   * @override
   */
  makeView(block, key, index) {
    // After `$$` without an end, or a footnote, a paragraph may come right after another, whose text it must not be
    // glued to.
    const isBare = key === "paragraph" && !this.#loose && !this.#isAfterBareText(index);
    if (isBare) return new LeafView(this.context, key, this.host, false);
    return leaveDirection(super.makeView(block, key, index), index);
  }

  /** @param {Block} block @override */
  settle(block) {
    this.#showTask(block);
    super.settle(block);
  }

  /** @param {Block} block @override */
  draw(block) {
    this.#showTask(block);
    super.draw(block);
  }

  /** A checkbox stands in the place of the item's mark. @param {Block} block */
  #showTask({ children: [first] }) {
    const isTask = first !== undefined && first.task !== null;
    if (isTask === this.host.hasAttribute("class")) return;
    if (isTask) this.host.className = "md-task";
    else this.host.removeAttribute("class");
  }

  /** @param {number} index */
  #isAfterBareText(index) {
    const before = this.views.findLast((view, at) => at < index && (view.element || view instanceof LeafView));
    return before instanceof LeafView && !before.element;
  }

  /** The list has got blank lines between its blocks: its paragraphs become paragraphs. */
  loosen() {
    this.#loose = true;
    this.views.forEach((view, index) => {
      if (view instanceof LeafView) view.wrap(this.views[index + 1]?.element ?? null);
      leaveDirection(view, index);
    });
  }
}

/**
 * A quote or an item, and its mark, stand as its first text does, if that has no direction of its own.
 *
 * @param {BlockView} view
 * @param {number} index in it
 */
function leaveDirection(view, index) {
  if (index === 0 && view instanceof LeafView) view.element?.removeAttribute("dir");
  return view;
}

/** A paragraph or a heading. */
class LeafView {
  /** @type {HTMLElement | null} */
  element = null;
  #host;
  #inline;

  /**
   * @param {RenderContext} context
   * @param {string} key
   * @param {Element | null} host holds a paragraph that has no element of its own
   * @param {boolean} isWrapped
   */
  constructor(context, key, host, isWrapped) {
    this.key = key;
    this.#host = host;
    if (isWrapped) this.element = withDirection(document.createElement(key === "paragraph" ? "p" : key));
    this.#inline = new InlineView(context, this.element ?? /** @type {Element} */ (host));
  }

  get end() {
    return this.element ?? this.#host;
  }

  settle() {}

  /** @param {Block} block */
  draw(block) {
    this.#inline.draw(block.text, { open: block.open, task: block.task });
  }

  /** @param {Block} block */
  finish(block) {
    this.#inline.draw(block.text, { open: false, task: block.task });
  }

  /** A paragraph turned out to be a heading: take its nodes, as they are. @param {LeafView} other the last of its host */
  takeOver(other) {
    const host = /** @type {Element} */ (other.element?.parentElement ?? other.#host);
    if (this.element) host.append(this.element);
    this.#inline = other.#inline;
    this.#inline.moveTo(this.element ?? host);
    other.element?.remove();
  }

  /** @param {Element | null} next what comes after it */
  wrap(next) {
    if (this.element) return;
    this.element = withDirection(document.createElement("p"));
    this.#host?.insertBefore(this.element, this.#inline.nodes[0] ?? next);
    this.#inline.moveTo(this.element);
  }

  remove() {
    if (this.element) this.element.remove();
    else this.#inline.remove();
  }
}

/** HTML is shown as the text that it is. */
class HtmlView {
  key = "html";
  element = withDirection(document.createElement("p"));

  constructor() {
    this.element.className = "md-html";
  }

  settle() {}

  /** @param {Block} block */
  draw(block) {
    showText(this.element, block.text.trimEnd());
  }

  /** @param {Block} block */
  finish(block) {
    this.draw(block);
  }
}

/** A formula on lines of its own. */
class MathsView {
  key = "maths";
  element = document.createElement("div");
  #formula = new FormulaView(true);

  constructor() {
    this.element.className = "md-math";
  }

  settle() {}

  /** @param {Block} block */
  draw(block) {
    const source = formulaOf(block);
    if (source === "" && !block.complete) return;
    const shown = this.#formula.draw(source, !block.complete);
    if (shown && shown !== this.element.firstChild) this.element.replaceChildren(shown);
  }

  /** @param {Block} block */
  finish(block) {
    this.draw(block);
  }
}

/** A line across, or nothing at all. */
class EmptyView {
  /**
   * @param {string} key
   * @param {HTMLElement | null} element
   */
  constructor(key, element) {
    this.key = key;
    this.element = element;
  }

  settle() {}
  draw() {}
  finish() {}
}

/**
 * @param {RenderContext} context
 * @param {Block} block
 * @param {string} key
 * @returns {BlockView}
 */
function makeView(context, block, key) {
  switch (block.kind) {
    case "quote":
      return new QuoteView(context);
    case "list":
      return new ListView(context, block, key);
    case "footnote":
      return new FootnoteView(context, block, key);
    case "code":
      return new CodeView(context, block, key);
    case "table":
      return new TableView(context);
    case "maths":
      return new MathsView();
    case "html":
      return new HtmlView();
    case "rule":
      return new EmptyView(key, document.createElement("hr"));
    case "nothing":
      return new EmptyView(key, null);
    default:
      return new LeafView(context, key, null, true);
  }
}

/**
 * Right to left or left to right, as its first letters are.
 *
 * @template {HTMLElement} Kind
 * @param {Kind} element
 */
function withDirection(element) {
  element.dir = "auto";
  return element;
}
