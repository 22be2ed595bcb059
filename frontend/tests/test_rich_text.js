import { toHtml } from "../js/rich_text.js";
import { element } from "../js/views/element.js";
import { equal, test } from "./harness.js";

test("rich text has neither buttons nor wrappers nor the page's attributes", () => {
  const link = element("a", { href: "https://example.org/", target: "_blank", rel: "noopener", title: "T" }, "link");
  link.dataset.host = "example.org";
  const code = element("code", {}, element("span", { className: "md-lines" }, "a < b\n"), element("span", { className: "md-lines" }, "c\n"));
  const figure = element("figure", { className: "md-code" });
  figure.append(element("figcaption", {}, "python", element("button", {}, "Copy")), element("pre", {}, code));
  const group = element("div", { className: "md-group" }, element("p", { dir: "auto" }, link, element("br")), figure);
  const box = element("input", { type: "checkbox", checked: true, disabled: true });
  const cell = element("td", {});
  cell.setAttribute("align", "right");
  const table = element("div", { className: "md-table" }, element("table", {}, element("tr", {}, cell)));
  const root = element("div", { className: "answer-text" }, group, element("ul", {}, element("li", {}, box, "done")), table);
  equal(
    toHtml(root),
    '<div xmlns="http://www.w3.org/1999/xhtml"><p dir="auto"><a href="https://example.org/" title="T">link</a><br /></p>' +
      "<pre><code>a &lt; b\nc\n</code></pre><ul><li>☑ done</li></ul>" +
      '<table><tr><td align="right"></td></tr></table></div>',
  );
});
