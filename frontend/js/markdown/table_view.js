/** A table while it grows: row by row, cell by cell; wide ones scroll in themselves. */

import { cells } from "./table_rows.js";
import { copyButton } from "./copy_button.js";
import { InlineView } from "./inline_view.js";
import { scrollIfWide } from "./scroller.js";

export class TableView {
  key = "table";
  element = document.createElement("div");
  #context;
  #table = document.createElement("table");
  #head = document.createElement("thead");
  #body = document.createElement("tbody");
  /** @type {{cells: HTMLElement[], views: InlineView[], row: HTMLElement}[]} */
  #rows = [];
  /** How many rows are complete. */
  #settled = 0;
  #columns = "";

  /** @param {import("./context.js").RenderContext} context */
  constructor(context) {
    this.#context = context;
    const { words } = context;
    const scroller = document.createElement("div");
    scroller.append(this.#table);
    scrollIfWide(this.#table);
    this.#table.append(this.#head);
    this.element.className = "md-table";
    this.element.append(scroller, copyButton(words, words.copyTable, this.#table, separatedByTabs));
  }

  /** @param {import("./block.js").Block} block */
  settle(block) {
    this.#drawRows(block, block.children.length, false);
    this.#settled = block.children.length;
  }

  /** @param {import("./block.js").Block} block */
  finish(block) {
    this.#drawRows(block, block.children.length, false);
    this.#cut(block.children.length);
  }

  /** @param {import("./block.js").Block} block */
  draw(block) {
    this.#drawRows(block, block.children.length, true);
    this.#cut(block.children.length);
  }

  /**
   * @param {import("./block.js").Block} block
   * @param {number} count
   * @param {boolean} open
   */
  #drawRows(block, count, open) {
    const columns = block.columns.join();
    if (columns !== this.#columns) this.#settled = 0;
    this.#columns = columns;
    for (let index = this.#settled; index < count; index += 1) {
      const isLast = open && index === count - 1;
      this.#drawRow(index, block.children[index]?.text ?? "", block.columns, isLast);
    }
  }

  /**
   * @param {number} index
   * @param {string} text
   * @param {import("./block.js").Block["columns"]} columns
   * @param {boolean} open
   */
  #drawRow(index, text, columns, open) {
    const drawn = (this.#rows[index] ??= this.#beginRow(index));
    const sources = cells(text);
    columns.forEach((alignment, column) => {
      if (!drawn.cells[column]) {
        const cell = document.createElement(index === 0 ? "th" : "td");
        cell.dir = "auto";
        drawn.row.append(cell);
        drawn.cells[column] = cell;
        drawn.views[column] = new InlineView(this.#context, cell);
      }
      const cell = /** @type {HTMLElement} */ (drawn.cells[column]);
      if (alignment) cell.setAttribute("align", alignment);
      else cell.removeAttribute("align");
      drawn.views[column]?.draw(sources[column] ?? "", { open: open && column === sources.length - 1 });
    });
    for (const cell of drawn.cells.splice(columns.length)) cell.remove();
    drawn.views.splice(columns.length);
  }

  /** @param {number} index */
  #beginRow(index) {
    const row = document.createElement("tr");
    if (index === 0) this.#head.append(row);
    else this.#body.append(row);
    if (index === 1) this.#table.append(this.#body);
    return { row, cells: [], views: [] };
  }

  /** @param {number} count */
  #cut(count) {
    for (const { row } of this.#rows.splice(count)) row.remove();
    if (count <= 1) this.#body.remove();
  }
}

/** The table's text for a spreadsheet: formulas as their source, no characters that nobody sees. @param {HTMLTableElement} table */
function separatedByTabs(table) {
  const copy = /** @type {HTMLTableElement} */ (table.cloneNode(true));
  for (const mark of copy.querySelectorAll(".md-invisible")) mark.remove();
  for (const formula of copy.querySelectorAll("math")) formula.replaceWith(formula.querySelector("annotation") ?? "");
  for (const lineBreak of copy.querySelectorAll("br")) lineBreak.replaceWith(" ");
  const rows = [...copy.rows].map((row) => [...row.cells].map((cell) => cell.textContent.replace(/\s+/g, " ").trim()));
  return rows.map((row) => row.join("\t")).join("\n");
}
