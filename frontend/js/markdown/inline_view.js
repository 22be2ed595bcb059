/**
 * Draws the nodes that `inlines.js` found, and changes what is drawn as little as can be: a text that grew is appended
 * to, so that a selection in it stays; a node is replaced only when it became another kind of node.
 */

import { safeLink } from "./links.js";
import { FormulaView } from "./formula_view.js";
import { parseInlines } from "./inlines.js";
import { visibleText } from "./invisible.js";

/**
 * @typedef {import("./inlines.js").Inline} Inline
 *
 * @typedef {object} Drawn
 * @property {string} key drawn nodes with the same key can become each other
 * @property {ChildNode} node
 * @property {Drawn[]} children
 * @property {string} text
 * @property {FormulaView} [formula]
 */

/** From this length on, the beginning of an open text is settled as soon as that is possible. */
const LONG = 1000;

/** From so many nodes on that come or go at once, the element's direction is left open meanwhile. */
const MANY = 100;

/** The inside of one leaf. */
export class InlineView {
  #context;
  #host;
  /** @type {Drawn[]} */
  #drawn = [];
  #source = "";
  /** How much of the source is settled, and how many nodes and how much of the text after them that gave. */
  #settled = { source: 0, nodes: 0, text: 0 };
  /** How long a source must be to be read again: longer, the more there is to read again. */
  #nextLength = 0;
  #isOpen = true;
  /** How much must have been written before the whole source is read once more. */
  #nextRedraw = 0;
  #isRemoved = false;

  /**
   * @param {import("./context.js").RenderContext} context
   * @param {Element} host holds the nodes; possibly among others, before which nothing is ever added
   */
  constructor(context, host) {
    this.#context = context;
    this.#host = host;
  }

  get nodes() {
    return this.#drawn.map(({ node }) => node);
  }

  /**
   * @param {string} source
   * @param {object} options
   * @param {boolean} options.open whether more may follow
   * @param {boolean | null} [options.task] draws a checkbox first
   */
  draw(source, { open, task = null }) {
    if (!source.startsWith(this.#source.slice(0, this.#settled.source))) this.#unsettle();
    if (open && source.length < this.#nextLength && source.length >= this.#source.length) return;
    this.#source = source;
    this.#isOpen = open;
    const from = this.#settled.source;
    const { nodes, settled } = parseInlines(source.slice(from), this.#context.inline(this), open);
    if (from === 0 && task !== null) nodes.unshift({ type: "checkbox", checked: task });
    this.#reconcile(nodes);
    this.#nextLength = 0;
    const rest = source.length - from;
    if (!open || rest < LONG) return;
    if (settled && task === null) this.#settle(settled);
    else this.#nextLength = source.length + rest / 16;
  }

  /**
   * Read the whole source again: a label in it means something else now. Returns whether that is done; else it is too
   * early, for the longer the source is, the more must have been written since the last time.
   *
   * @param {number} written how many characters of the whole text so far
   */
  redraw(written) {
    if (this.#isRemoved || !this.#context.root.contains(this.#host)) return true;
    if (written < this.#nextRedraw) return false;
    this.#nextRedraw = written + this.#source.length / 4;
    this.#unsettle();
    const [first] = this.#drawn;
    const task = first?.key === "checkbox" ? /** @type {HTMLInputElement} */ (first.node).checked : null;
    this.draw(this.#source, { open: this.#isOpen, task });
    return true;
  }

  /** Take all nodes away for good. */
  remove() {
    this.#isRemoved = true;
    for (const node of this.nodes) node.remove();
  }

  /** Put all nodes into another element, as they are. @param {Element} host */
  moveTo(host) {
    host.append(...this.nodes);
    this.#host = host;
  }

  #unsettle() {
    this.#settled = { source: 0, nodes: 0, text: 0 };
    this.#nextLength = 0;
  }

  /** @param {{nodes: number, text: number, source: number}} settled relative to what is settled already */
  #settle(settled) {
    const base = this.#settled;
    this.#settled = {
      source: base.source + settled.source,
      nodes: base.nodes + settled.nodes,
      text: settled.text + (settled.nodes === 0 ? base.text : 0),
    };
  }

  /** @param {Inline[]} nodes */
  #reconcile(nodes) {
    const { nodes: count, text } = this.#settled;
    const kept = text > 0 ? (this.#drawn[count]?.text.slice(0, text) ?? "") : "";
    const [first] = nodes;
    if (kept !== "" && first?.type === "text") first.text = kept + first.text;
    else if (kept !== "") nodes.unshift({ type: "text", text: kept, at: -1 });
    const before = this.#drawn.at(-1)?.node.nextSibling ?? null;
    const draw = () => reconcile(this.#host, this.#drawn, count, nodes, before, this.#context);
    if (Math.abs(count + nodes.length - this.#drawn.length) > MANY) withoutDirection(this.#host, draw);
    else draw();
  }
}

/**
 * Change an element's children. With `dir="auto"` browsers would look for the direction anew at each of them, which costs
 * the square of their number.
 *
 * @param {Element} element
 * @param {() => void} change
 */
function withoutDirection(element, change) {
  const direction = element.getAttribute("dir");
  if (direction === null) return change();
  element.removeAttribute("dir");
  change();
  element.setAttribute("dir", direction);
}

/**
 * Make the nodes drawn from `from` on look like these.
 *
 * @param {Node} parent
 * @param {Drawn[]} drawn is changed
 * @param {number} from
 * @param {Inline[]} nodes
 * @param {Node | null} before what comes after all of them
 * @param {import("./context.js").RenderContext} context
 */
function reconcile(parent, drawn, from, nodes, before, context) {
  nodes.forEach((node, offset) => {
    const index = from + offset;
    const have = drawn[index];
    const key = keyOf(node);
    if (have?.key === key) {
      update(have, node, context);
      return;
    }
    const made = create(node, key, context);
    if (have) have.node.replaceWith(made.node);
    else parent.insertBefore(made.node, before);
    drawn[index] = made;
  });
  for (const { node } of drawn.splice(from + nodes.length)) node.remove();
}

/** @param {Inline} node */
function keyOf(node) {
  switch (node.type) {
    case "maths":
      return `maths ${node.display}`;
    case "footnote":
      return `footnote ${node.label}`;
    default:
      return node.type;
  }
}

const TAGS = { emphasis: "em", strong: "strong", deleted: "del", code: "code", break: "br" };

/**
 * @param {Inline} node
 * @param {string} key
 * @param {import("./context.js").RenderContext} context
 * @returns {Drawn}
 */
function create(node, key, context) {
  /** @type {Drawn} */
  const drawn = { key, node: elementFor(node, context), children: [], text: "" };
  if (node.type === "maths") drawn.formula = new FormulaView(node.display);
  update(drawn, node, context);
  return drawn;
}

/**
 * @param {Inline} node
 * @param {import("./context.js").RenderContext} context
 * @returns {ChildNode}
 */
function elementFor(node, context) {
  switch (node.type) {
    case "text":
      return new Text();
    case "maths":
      return document.createComment("");
    case "footnote":
      return context.footnotes.reference(node.label);
    case "checkbox":
      return Object.assign(document.createElement("input"), {
        type: "checkbox",
        disabled: true,
        ariaLabel: context.words.task,
      });
    case "link":
      return document.createElement("a");
    case "image":
      return Object.assign(document.createElement(context.isInsideLink ? "span" : "a"), { className: "md-image" });
    default:
      return document.createElement(TAGS[node.type]);
  }
}

/**
 * @param {Drawn} drawn
 * @param {Inline} node
 * @param {import("./context.js").RenderContext} context
 */
function update(drawn, node, context) {
  const element = /** @type {HTMLElement} */ (drawn.node);
  switch (node.type) {
    case "text":
      setText(/** @type {Text} */ (drawn.node), drawn.text, node.text);
      break;
    case "maths":
      drawFormula(drawn, node);
      break;
    case "code":
      if (drawn.text !== node.text) drawCode(element, node.text);
      break;
    case "checkbox":
      element.toggleAttribute("checked", node.checked);
      break;
    case "image":
      updateImage(element, node);
      break;
    case "link":
      updateLink(element, node);
      reconcile(element, drawn.children, 0, node.children, null, context.insideLink);
      break;
    case "emphasis":
    case "strong":
    case "deleted":
      reconcile(element, drawn.children, 0, node.children, null, context);
      break;
  }
  if ("text" in node) drawn.text = node.text;
}

/**
 * Let an element hold this text only. What it holds is kept where the text grew.
 *
 * @param {Element} element
 * @param {string} want
 */
export function showText(element, want) {
  const only = element.firstChild;
  if (only instanceof Text && want !== "") setText(only, only.data, want);
  else element.textContent = want;
}

/**
 * @param {CharacterData} node
 * @param {string} have
 * @param {string} want
 */
function setText(node, have, want) {
  if (have === want) return;
  if (want.startsWith(have)) {
    node.appendData(want.slice(have.length));
    return;
  }
  let same = 0;
  while (same < have.length && have[same] === want[same]) same += 1;
  node.replaceData(same, have.length - same, want.slice(same));
}

/**
 * @param {Drawn} drawn
 * @param {import("./inlines.js").MathsNode} node
 */
function drawFormula(drawn, node) {
  const shown = drawn.formula?.draw(node.text, node.open);
  if (!shown || shown === drawn.node) return;
  drawn.node.replaceWith(shown);
  drawn.node = shown;
}

/**
 * Let an element hold this code only. What it holds is kept as far as it is the same, or text that grew.
 *
 * @param {Element} element
 * @param {string} code
 */
function drawCode(element, code) {
  const wanted = visibleText(code);
  wanted.forEach((node, index) => {
    const have = element.childNodes[index];
    if (have instanceof Text && node instanceof Text) setText(have, have.data, node.data);
    else if (!have) element.append(node);
    else if (!have.isEqualNode(node)) have.replaceWith(node);
  });
  while (element.childNodes.length > wanted.length) element.lastChild?.remove();
}

/**
 * @param {Element} element
 * @param {import("./inlines.js").LinkNode} node
 */
function updateLink(element, node) {
  pointTo(element, node.href === null ? null : safeLink(node.href), node.title);
}

/**
 * A picture is never loaded by itself: its address may carry away what was said here. A click opens it; within a link
 * it is the link that opens.
 *
 * @param {Element} element
 * @param {import("./inlines.js").ImageNode} node
 */
function updateImage(element, node) {
  showText(element, node.text);
  const link = node.href === null ? null : safeLink(node.href);
  setAttribute(element, "data-src", link?.href);
  if (element.localName === "a") pointTo(element, link, node.title);
  else setAttribute(element, "title", link && node.title);
}

/**
 * Let it lead there; or nowhere, as long as that has not arrived.
 *
 * @param {Element} element
 * @param {{href: string, host: string} | null} link
 * @param {string | null} title
 */
function pointTo(element, link, title) {
  setAttribute(element, "href", link?.href);
  setAttribute(element, "target", link && "_blank");
  setAttribute(element, "rel", link && "noopener noreferrer");
  setAttribute(element, "data-host", link?.host);
  setAttribute(element, "title", link && title);
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | null | undefined} value none: it must not have one
 */
function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
