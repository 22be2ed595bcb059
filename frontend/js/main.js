/** Starts the page: one state, its views, and a frame in which they draw. */

import { Chat } from "./chat.js";
import { Store } from "./store.js";
import { ComposerView } from "./views/composer.js";
import { ConversationView } from "./views/conversation.js";
import { Follow } from "./views/follow.js";
import { chooseWords, words } from "./words/index.js";

/**
 * @template {HTMLElement} [Kind=HTMLElement]
 * @param {string} id
 */
function byId(id) {
  return /** @type {Kind} */ (document.getElementById(id));
}

await chooseWords(navigator.languages);

const trouble = byId("trouble");
const status = byId("status");
// Several pages of one host share its storage.
const store = new Store(`burble ${new URL(".", document.baseURI).pathname}`, (message) => {
  trouble.textContent = message;
  trouble.hidden = message === null;
});
const chat = new Chat({ store, changed: scheduleDraw });
const conversation = new ConversationView(byId("conversation"), chat);
/** @type {HTMLFormElement} */
const form = byId("composer");
const composer = new ComposerView(form, chat);
const follow = new Follow(byId("scroller"), byId("to-end"));

let scheduled = false;

function scheduleDraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

let drawnMessages = 0;

function draw() {
  scheduled = false;
  const { messages } = chat.state;
  document.body.classList.toggle("empty", messages.length === 0);
  conversation.draw();
  composer.draw();
  const last = messages.at(-1);
  const news = words.announcement(last?.role === "assistant" ? last : null, chat.connection);
  if (status.textContent !== news) status.textContent = news;
  if (messages.length > drawnMessages) follow.toEnd();
  else follow.draw();
  drawnMessages = messages.length;
}

byId("suggestions").addEventListener("click", ({ target }) => {
  const button = target instanceof Element && target.closest("button");
  if (button) chat.send(button.dataset.prompt ?? "");
  composer.focus();
});

byId("new-chat").addEventListener("click", () => {
  chat.clear();
  composer.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && chat.running) chat.stop();
});

window.addEventListener("pagehide", () => chat.suspend());
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted) chat.resume();
});

draw();
chat.resume();
composer.focus();
