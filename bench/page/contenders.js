/**
 * What is measured: each shows a text that arrives piece by piece, and has a renderer's `write` and `end`.
 *
 * @typedef {{write(text: string): void, end(): void}} Renderer
 */

import { createRenderer } from "/frontend/js/markdown/index.js";

const GROUP = 32;

/** What no renderer of Markdown can be cheaper than: every complete line is a block of plain text. @param {Element} root */
function textFloor(root) {
  return byLine(root, (line) => {
    if (line === "\n") return null;
    const block = document.createElement("p");
    block.textContent = line;
    return block;
  });
}

/** The same for code: every complete line is a piece of text in a <pre>. @param {Element} root */
function codeFloor(root) {
  const pre = document.createElement("pre");
  root.append(pre);
  return byLine(pre, (line) => new Text(line));
}

/**
 * @param {Element} parent
 * @param {(line: string) => Node | null} shown what becomes of a complete line, its end included
 * @returns {Renderer}
 */
function byLine(parent, shown) {
  let open = "";
  let group = document.createElement("div");
  let count = 0;

  /** @param {string} line */
  function add(line) {
    const node = shown(line);
    if (!node) return;
    if (count % GROUP === 0) {
      group = document.createElement("div");
      parent.append(group);
    }
    count += 1;
    group.append(node);
  }

  return {
    write(text) {
      const lines = (open + text).split(/(?<=\n)/);
      open = lines.at(-1)?.endsWith("\n") ? "" : (lines.pop() ?? "");
      lines.forEach(add);
    },
    end() {
      if (open !== "") add(open);
    },
  };
}

/** What one writes first: all of the text again, as HTML, for each frame. @param {Element} root */
async function naive(root) {
  const { marked } = await import("/marked.js");
  let all = "";
  /** @type {Renderer} */
  const renderer = {
    write(text) {
      all += text;
      root.innerHTML = marked.parse(all);
    },
    end() {},
  };
  return renderer;
}

/** @type {Record<string, (root: Element) => Renderer | Promise<Renderer>>} */
export const contenders = { burble: createRenderer, textFloor, codeFloor, naive };
