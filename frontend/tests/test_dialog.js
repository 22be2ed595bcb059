import { makeDialog } from "../js/views/dialog.js";
import { element } from "../js/views/element.js";
import { equal, test } from "./harness.js";

/** @param {() => void} [closed] */
function opened(closed) {
  const title = element("h2", { id: "title", tabIndex: -1, autofocus: true }, "Title");
  const dialog = makeDialog("", title, closed);
  dialog.append(title);
  dialog.showModal();
  return { dialog, title };
}

/** @param {Element} from @param {Element} to where it is let go */
function press(from, to) {
  from.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
  to.dispatchEvent(new MouseEvent("click", { bubbles: true }));
}

test("a press beside a dialog closes it; one that begins in it, as when text is selected, does not", () => {
  const { dialog, title } = opened();
  equal(dialog.getAttribute("aria-labelledby"), "title");
  press(title, title);
  press(title, dialog);
  equal(dialog.open, true);
  press(dialog, dialog);
  equal(dialog.open, false);
  dialog.remove();
});

test("a dialog tells when it was closed with nothing that had the focus before", async () => {
  let count = 0;
  const button = element("button");
  document.body.append(button);
  for (const [before, told] of /** @type {const} */ ([[button, 0], [document.body, 1]])) {
    button.blur();
    before.focus();
    const { dialog } = opened(() => (count += 1));
    const closed = new Promise((resolve) => dialog.addEventListener("close", resolve));
    dialog.close();
    await closed;
    equal(count, told);
    dialog.remove();
  }
  button.remove();
});
