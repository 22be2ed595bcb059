/** Starts the page: its conversations, their views, when they draw, and which one the address means. */

import { HOME, SESSION, isCopy, loadReader, sessionSince, whenLocked } from "./api.js";
import { Chats } from "./chats.js";
import { listen, onTouch } from "./keys.js";
import { lazily, loadStyles } from "./lazy.js";
import { models } from "./models.js";
import { Store } from "./store.js";
import { ComposerView } from "./views/composer.js";
import { takeFiles } from "./views/drop.js";
import { update } from "./views/element.js";
import { Follow } from "./views/follow.js";
import { heedKeyboard } from "./views/keyboard.js";
import { drawPlainly } from "./views/plain_conversation.js";
import { SettingsButton } from "./views/settings_button.js";
import { StatusView } from "./views/status.js";
import { ThemeButton } from "./views/theme_button.js";
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
// Several pages of one host share its storage.
const name = `burble ${HOME.pathname}`;
const store = new Store(name, () => showTrouble());
await store.open();

/** Nothing is drawn before all is there that draws: another tab may change something meanwhile. */
let scheduled = true;
const chats = new Chats(store, {
  // A copy reads no answers: the page in another tab need not wait for it.
  name: isCopy ? `${name} copy` : name,
  changed: scheduleDraw,
  began: (chat) => history.replaceState(null, "", addressOf(chat.id)),
  gone: (isOwn) => {
    history.replaceState(null, "", addressOf(""));
    if (!isOwn) showTrouble(words.deletedElsewhere);
  },
});
await chats.open();

const status = new StatusView(byId("status"), chats);
const say = (/** @type {string} */ text) => status.say(text);
const after = { say, left: takeFocus };
const loadNotice = lazily(
  () => import("./views/notice.js"),
  ({ tellOfClumps }) => tellOfClumps(byId("notice"), after),
);
/** @type {HTMLFormElement} */
const form = byId("composer");
const follow = new Follow(byId("scroller"), byId("conversation"), byId("to-end"));
const composer = new ComposerView(form, chats, { sent: () => follow.toEnd(), say });
const settings = new SettingsButton(byId("settings"), chats, { failed: (text) => composer.refuse([text]) });
new ThemeButton(byId("theme"), say);
const loadHelp = lazily(
  () => Promise.all([import("./views/help.js"), loadStyles("help.css"), loadStyles("dialog.css")]),
  ([{ HelpView }]) => new HelpView(() => composer.focus()),
);
const openHelp = async () => (await loadHelp()).open();

const loadTransfer = lazily(() => import("./views/transfer.js"));

/** @param {string} [id] of the conversation to export; without one, all can be exported, and others imported */
async function openTransfer(id) {
  const { openTransfer: open } = await loadTransfer();
  await open(chats, { id, closed: takeFocus });
}

/** The messages. An empty page does not need what shows them. @type {import("./views/conversation.js").ConversationView | null} */
let conversation = null;
/** @type {import("./views/place.js").Places | null} */
let places = null;
const loadConversation = lazily(
  () => {
    loadReader();
    return import("./views/conversation.js");
  },
  ({ ConversationView, Places, loadRenderer }) => {
    loadRenderer();
    conversation = new ConversationView(byId("conversation"), chats, follow, after);
    places = new Places(byId("scroller"), follow, { key: `${name} places`, shown: () => chats.shown.id });
    comeBack();
  },
);

/** Where there are several models. @type {import("./views/model_picker.js").ModelPicker | null} */
let picker = null;
const loadPicker = lazily(
  () => Promise.all([import("./views/model_picker.js"), loadStyles("menu.css")]),
  ([{ ModelPicker }]) => {
    picker = new ModelPicker(byId("model"), byId("trouble"), chats, after);
    picker.draw();
  },
);

/** What a first visit does without. */
const loadOffline = lazily(
  () => import("./offline.js"),
  ({ keepCopy, waitForServer }) => (isCopy ? waitForServer(trouble, say) : keepCopy()),
);

const since = sessionSince();

/** What asks for a key, and logs out: where the server wants one. */
const loadAccess = lazily(
  () => import("./views/access.js"),
  ({ openAccess }) => openAccess({ place: trouble, foot: /** @type {HTMLElement} */ (byId("list").lastElementChild), say, left: takeFocus, hush: () => chats.interrupt(), since }),
);

/** The list of conversations. While there are none, it is as `index.html` has it. @type {import("./views/list.js").ListView | null} */
let list = null;
const loadList = lazily(
  () => Promise.all([import("./views/list.js"), ...["list.css", "menu.css", "dialog.css"].map(loadStyles)]),
  ([{ ListView }]) => {
    list = new ListView(byId("list"), chats, { button: byId("show-list"), say, exportOne: openTransfer });
    list.draw();
  },
);

/** Draw soon, once for all that changes together. Not in a frame: each that is asked for costs, changed or not. */
function scheduleDraw() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(draw);
}

function draw() {
  scheduled = false;
  const { id, state, title } = chats.shown;
  document.body.classList.toggle("empty", state.messages.length === 0);
  document.body.classList.toggle("editing", state.editing !== null);
  // That a conversation is missing is told until another one is shown.
  if (id !== "") showTrouble();
  if (document.title !== titleOf(title)) document.title = titleOf(title);
  if (state.messages.length > 0) loadConversation();
  if (isCopy || chats.list.length > 0) loadOffline();
  if (conversation) conversation.draw();
  else drawPlainly(byId("conversation"), chats.shown);
  composer.draw();
  settings.draw();
  drawModel(state.settings.model);
  status.draw(composer.news);
  if (chats.shown.pace.clumpy) loadNotice();
  update(byId("no-conversations"), { hidden: chats.list.length > 0 });
  if (chats.list.length > 0) loadList();
  list?.draw();
}

/**
 * Show which model answers; what is more to say of it is not needed where there is only one.
 *
 * @param {string | null} id
 */
function drawModel(id) {
  const { name } = models.named(id);
  const model = byId("model");
  update(model, { hidden: name === "", title: name });
  update(/** @type {HTMLElement} */ (model.querySelector("bdi")), { textContent: name });
  if (name !== "" && (models.list.length > 1 || models.served(id) !== id)) loadPicker();
  picker?.draw();
}

/** @param {string} title of a conversation */
function titleOf(title) {
  return title === "" ? "Burble" : `${title} – Burble`;
}

/** @param {string} id of a conversation, "" for a new one */
function addressOf(id) {
  return id === "" ? "#/" : `#/c/${id}`;
}

/** @param {string} [text] what is wrong; by default what is with what is kept, if anything */
function showTrouble(text = store.trouble ? words.storage[store.trouble] : "") {
  update(trouble, { textContent: text, hidden: text === "" });
}

/** Show the conversation that the address means. */
async function go() {
  const id = /^#\/c\/(.+)/.exec(location.hash)?.[1] ?? "";
  if (id === "") {
    await chats.showNew();
  } else if (!(await chats.show(id)) && location.hash === addressOf(id)) {
    await chats.showNew();
    history.replaceState(null, "", addressOf(""));
    say(words.missing);
    showTrouble(words.missing);
  }
}

/** Show the conversation where the reader was in it. */
function comeBack() {
  draw();
  if (places?.has(chats.shown.id)) conversation?.drawAll();
  places?.come(chats.shown.id);
}

byId("suggestions").addEventListener("click", ({ target }) => {
  const button = target instanceof Element && target.closest("button");
  if (!button) return;
  chats.shown.send(button.dataset.prompt ?? "");
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
  if (chats.shown.id !== "") location.hash = addressOf("");
  composer.focus();
}

const loadSearch = lazily(
  () => Promise.all([import("./views/search.js"), loadStyles("search.css")]),
  ([{ SearchView }]) =>
    new SearchView(byId("search"), {
      ...{ store, follow, say, scroller: byId("scroller"), open: openHit, left: takeFocus },
      searching: (isSearching) => document.body.classList.toggle("searching", isSearching),
    }),
);

/**
 * @param {string} id of a conversation
 * @param {string | null} message which has to be on the path that is shown
 */
async function openHit(id, message) {
  places?.leave(chats.shown.id);
  if (!(await chats.show(id))) return false;
  if (location.hash !== addressOf(id)) history.pushState(null, "", addressOf(id));
  if (message !== null) chats.shown.walkTo(message);
  await loadConversation();
  // What is not shown yet cannot have the focus.
  draw();
  conversation?.drawAll();
  return true;
}

async function beginSearch() {
  await loadList();
  list?.show();
  const field = /** @type {HTMLInputElement} */ (byId("search-field"));
  field.focus();
  field.select();
}

byId("search").addEventListener("focusin", loadSearch, { once: true });
byId("new-chat").addEventListener("click", newChat);
byId("show-list").addEventListener("click", async () => {
  await loadList();
  list?.toggle();
});
byId("transfer").addEventListener("click", () => openTransfer());
byId("keys").addEventListener("click", openHelp);
takeFiles((files) => composer.add(files));
heedKeyboard();
listen(document, undefined, {
  stop: () => composer.escape(),
  newChat,
  search: () => void beginSearch(),
  help: () => void openHelp(),
});

// A copy asks the server nothing.
if (!isCopy) {
  whenLocked(async (visitor) => (await loadAccess()).admission(visitor));
  // Another tab has come in, or left.
  window.addEventListener("storage", ({ key }) => key === SESSION && loadAccess());
}

document.addEventListener("input", loadConversation, { once: true });
window.addEventListener("beforeunload", () => chats.leave());
window.addEventListener("pagehide", () => chats.suspend());
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted) chats.resume();
});
document.addEventListener("visibilitychange", () => document.hidden && chats.keepDraft());

window.addEventListener("hashchange", async () => {
  places?.leave(chats.shown.id);
  await go();
  comeBack();
  if (chats.shown.id === "") composer.focus();
  else takeFocus();
});

await go();
draw();
if (!isCopy) models.follow(scheduleDraw);
if (!isCopy && Math.max(since, sessionSince()) > 0) loadAccess();
composer.focus();
