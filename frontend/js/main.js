/** Starts the page: one state, its views, and when they draw. */

import { Chat } from "./chat.js";
import { listen, onTouch } from "./keys.js";
import { Store } from "./store.js";
import { ComposerView } from "./views/composer.js";
import { ConversationView } from "./views/conversation.js";
import { takeFiles } from "./views/drop.js";
import { update } from "./views/element.js";
import { Follow } from "./views/follow.js";
import { HelpView } from "./views/help.js";
import { heedKeyboard } from "./views/keyboard.js";
import { ClumpsNotice } from "./views/notice.js";
import { StatusView } from "./views/status.js";
import { loadRenderer } from "./views/streamed_markdown.js";
import { ThemeButton } from "./views/theme_button.js";
import { chooseWords } from "./words/index.js";

/**
 * @template {HTMLElement} [Kind=HTMLElement]
 * @param {string} id
 */
function byId(id) {
  return /** @type {Kind} */ (document.getElementById(id));
}

await chooseWords(navigator.languages);

const trouble = byId("trouble");
// Several pages of one host share its storage.
const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`, (message) => {
  update(trouble, { textContent: message ?? "", hidden: message === null });
});
let scheduled = false;
const chat = new Chat({ store, changed: scheduleDraw });
const status = new StatusView(byId("status"), chat);
const say = (/** @type {string} */ text) => status.say(text);
const after = { say, left: takeFocus };
const conversation = new ConversationView(byId("conversation"), chat, after);
const notice = new ClumpsNotice(byId("notice"), chat, after);
/** @type {HTMLFormElement} */
const form = byId("composer");
const follow = new Follow(byId("scroller"), byId("conversation"), byId("to-end"));
const composer = new ComposerView(form, chat, { sent: () => follow.toEnd(), say });
new ThemeButton(byId("theme"), say);
const help = new HelpView(() => composer.focus());

/** Draw soon, once for all that changes together. Not in a frame: each that is asked for costs, changed or not. */
function scheduleDraw() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(draw);
}

function draw() {
  scheduled = false;
  const { messages } = chat.state;
  document.body.classList.toggle("empty", messages.length === 0);
  document.body.classList.toggle("editing", chat.state.editing !== null);
  conversation.draw();
  composer.draw();
  status.draw(composer.news);
  notice.draw();
}

byId("suggestions").addEventListener("click", ({ target }) => {
  const button = target instanceof Element && target.closest("button");
  if (!button) return;
  chat.send(button.dataset.prompt ?? "");
  follow.toEnd();
  composer.focus();
});

/** What had the focus goes away: what comes next is most likely written, or stopped. */
function takeFocus() {
  // On touch the composer would bring up the keyboard.
  if (onTouch()) byId("scroller").focus({ preventScroll: true });
  else composer.focus();
}

function newChat() {
  chat.clear();
  composer.focus();
}

byId("new-chat").addEventListener("click", newChat);
byId("keys").addEventListener("click", () => help.open());
takeFiles((files) => composer.add(files));
heedKeyboard();
listen(document, undefined, { stop: () => composer.escape(), newChat, help: () => help.open() });

document.addEventListener("input", loadRenderer, { once: true });
window.addEventListener("beforeunload", () => chat.leave());
window.addEventListener("pagehide", () => chat.suspend());
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted) chat.resume();
});

draw();
chat.resume();
composer.focus();
