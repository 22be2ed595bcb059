/**
 * All conversations of this browser, as this tab sees them: the one that is shown, those that run in the background, and
 * the list of the others, which are read when they are shown.
 *
 * Where nothing can be kept, all of them stay in memory for as long as the tab lives.
 */

import { Chat } from "./chat.js";
import { NEW, defaultSettings, newId } from "./store.js";
import { Turns } from "./turns.js";

/**
 * @typedef {import("./store.js").Change} Change
 * @typedef {import("./store.js").Conversation} Conversation
 * @typedef {import("./store.js").Draft} Draft
 * @typedef {import("./store.js").Message} Message
 * @typedef {import("./store.js").Store} Store
 */

/** How long a conversation that was deleted can be brought back, in ms, in whatever tab. */
const UNDO_MS = 60_000;

/** How long after the reader may be leaving the page it is certain that it stays, in ms. */
const LEAVING_MS = 3000;

export class Chats {
  /** The conversation that is shown: a new one at first. @type {Chat} */
  shown;

  store;

  #name;
  #changed;
  #began;
  #gone;
  #turns = new Turns();
  /** The key of this tab's draft of a new conversation. */
  #newKey;
  /** The conversation that was not begun, while another one is shown. @type {Chat | null} */
  #unbegun = null;
  /** Those that are shown or run, by id. @type {Map<string, Chat>} */
  #chats = new Map();
  /** @type {Map<string, Promise<Chat | undefined>>} */
  #loading = new Map();
  /** @type {Map<string, Conversation>} */
  #conversations = new Map();
  /** Made anew when it is asked for after a change. @type {readonly Conversation[] | null} */
  #list = null;
  /** Which of several that were asked for is to be shown: the last. */
  #asked = 0;
  /** @type {Promise<void> | undefined} */
  #opening;
  #isLeaving = false;

  /**
   * @param {Store} store open
   * @param {object} options
   * @param {string} options.name of the store
   * @param {() => void} options.changed called after every change, possibly many times a frame
   * @param {(chat: Chat) => void} options.began called when something was sent in the new conversation that is shown
   * @param {(isOwn: boolean) => void} options.gone called when the conversation that is shown was deleted, in this tab or
   *   in another one; a new one is shown then
   */
  constructor(store, { name, changed, began, gone }) {
    this.store = store;
    this.#name = name;
    this.#changed = changed;
    this.#began = began;
    this.#gone = gone;
    this.#newKey = NEW + tabId(`${name} tab`);
    this.shown = this.#make();
    store.onChange((change) => this.#heed(change));
  }

  /** Read the list, and go on with the answers that run. To be called once. */
  open() {
    return (this.#opening = this.#open());
  }

  async #open() {
    for (const conversation of await this.store.conversations()) this.#conversations.set(conversation.id, conversation);
    this.#list = null;
    this.shown = this.#make({ settings: this.#newSettings() });
    await this.#takeUpDraft();
    const old = [...this.#conversations.values()].filter(({ deletedAt }) => deletedAt && deletedAt < Date.now() - UNDO_MS);
    if (old.length > 0) this.forget(old.map(({ id }) => id));
    await this.#resumeAll();
    this.#changed();
  }

  /** Those that were not deleted, what was asked in last comes first. Another array after each change. */
  get list() {
    this.#list ??= listed(this.#conversations.values());
    return this.#list;
  }

  /** All that were not deleted, read anew, and those that could not be kept. */
  async conversations() {
    const kept = await this.store.conversations();
    const all = new Map([...this.list, ...kept].map((conversation) => [conversation.id, conversation]));
    return listed(all.values());
  }

  /**
   * Conversations with all their messages, the oldest first, also those that could not be kept.
   *
   * @param {string} [id] of the only one
   */
  async whole(id) {
    const conversations = (await this.conversations()).filter((conversation) => id === undefined || conversation.id === id);
    const whole = new Map(conversations.map((conversation) => [conversation.id, { conversation, messages: /** @type {Message[]} */ ([]) }]));
    for await (const messages of id === undefined ? this.store.allMessages() : [await this.store.messages(id)]) {
      for (const message of messages) whole.get(message.conversation)?.messages.push(message);
    }
    for (const [id, one] of whole) {
      const chat = this.#chats.get(id);
      if (chat) one.messages = [...chat.tree.messages];
      one.messages.sort((a, b) => a.createdAt - b.createdAt);
    }
    return [...whole.values()];
  }

  /**
   * Whether an answer runs in a conversation, whichever tab reads it.
   *
   * @param {string} id
   */
  isRunning(id) {
    return this.#chats.get(id)?.isRunning ?? false;
  }

  /**
   * Show a conversation; resolves with false where it is not there.
   *
   * @param {string} id
   */
  async show(id) {
    const asked = (this.#asked += 1);
    const chat = await this.#load(id);
    if (!chat) return false;
    if (asked === this.#asked) this.#show(chat);
    return true;
  }

  /** Show a new conversation, with what was written for it and not sent. */
  async showNew() {
    const asked = (this.#asked += 1);
    if (this.shown.id === "") return;
    // What was not begun yet is still here.
    if (this.#unbegun?.id === "") return this.#show(this.#unbegun);
    const draft = await this.store.draft(this.#newKey);
    if (asked === this.#asked) this.#show(this.#make({ draft, settings: this.#newSettings() }));
  }

  /**
   * @param {string} id
   * @param {string} title
   */
  async rename(id, title) {
    await this.#update(id, (conversation) => (conversation.title = title));
  }

  /**
   * @param {string} id
   * @param {boolean} pinned
   */
  async pin(id, pinned) {
    await this.#update(id, (conversation) => (conversation.pinned = pinned));
  }

  /**
   * Delete conversations, so that they can be brought back for a while; their answers are stopped.
   *
   * @param {readonly string[]} ids
   */
  async remove(ids) {
    const deletedAt = Date.now();
    for (const id of ids) this.#chats.get(id)?.stopAll();
    await Promise.all(ids.map((id) => this.#update(id, (conversation) => (conversation.deletedAt = deletedAt))));
  }

  /**
   * Bring back what was deleted.
   *
   * @param {readonly string[]} ids
   */
  async restore(ids) {
    await Promise.all(ids.map((id) => this.#update(id, (conversation) => (conversation.deletedAt = null))));
  }

  /**
   * Delete conversations for good.
   *
   * @param {readonly string[]} ids
   */
  async forget(ids) {
    for (const id of ids) {
      this.#chats.get(id)?.stopAll();
      if (!this.store.keeps) this.#drop(id, true);
    }
    await this.store.remove([...ids]);
  }

  /** The page may be about to go away: what breaks off now is no news. */
  leave() {
    this.#isLeaving = true;
    // What is written only when the page goes is lost now and then (Chromium).
    this.keepDraft();
    setTimeout(() => (this.#isLeaving = false), LEAVING_MS);
  }

  /** Interrupt what is read here: the server is to be asked anew. */
  interrupt() {
    this.#turns.interrupt();
  }

  /** The page goes away: what runs goes on after `resume()`, here or in another page. */
  suspend() {
    for (const chat of new Set([this.shown, ...this.#chats.values()])) chat.suspend();
    if (this.#unbegun?.id === "") this.#unbegun.suspend();
  }

  /** The page is here again; what other tabs have changed meanwhile it was not told. */
  async resume() {
    for (const chat of [this.shown, this.#unbegun]) if (chat?.id === "") chat.resume();
    const messages = await Promise.all([...this.#chats.keys()].map((id) => this.store.messages(id)));
    for (const message of messages.flat()) this.#chats.get(message.conversation)?.heed(null, [message]);
    const kept = await this.store.conversations();
    const conversations = [...new Set([...this.#conversations.keys(), ...kept.map(({ id }) => id)])];
    await this.#heed({ conversations, messages: [], drafts: [...this.#chats.keys()], presets: false, own: false });
    for (const chat of this.#chats.values()) chat.resume();
    await this.#resumeAll();
  }

  /** Keep what is written, for the page may end without a word. */
  keepDraft() {
    this.shown.keepDraft();
  }

  /** Those of a new conversation: it goes on with the model that is shown, or at first with the one that was asked last. */
  #newSettings() {
    const { id, state } = this.shown;
    const { think, model } = state.settings;
    const last = id === "" ? this.list[0]?.settings.model : null;
    return { ...defaultSettings(), think, model: model ?? last ?? null };
  }

  /** @param {ConstructorParameters<typeof Chat>[1]} [kept] */
  #make(kept) {
    return new Chat(
      {
        store: this.store,
        turns: this.#turns,
        name: this.#name,
        newKey: this.#newKey,
        isSeen: (chat) => chat === this.shown && !document.hidden,
        isLeaving: () => this.#isLeaving,
        changed: (chat) => this.#heedChat(chat),
      },
      kept,
    );
  }

  /** @param {Chat} chat */
  #show(chat) {
    this.shown.keepDraft();
    const before = this.shown;
    if (chat.id === "") this.#unbegun = null;
    else if (before.id === "") this.#unbegun = before;
    this.shown = chat;
    // It may have ended, and been forgotten, a moment ago.
    if (chat.id !== "") this.#chats.set(chat.id, chat);
    this.#tidy(before);
    this.#turns.arrange();
    this.#changed();
  }

  /** @param {string} id */
  async #load(id) {
    const there = this.#chats.get(id);
    if (there) return this.#isDeleted(id) ? undefined : there;
    let loading = this.#loading.get(id);
    if (!loading) {
      loading = this.#read(id).finally(() => this.#loading.delete(id));
      this.#loading.set(id, loading);
    }
    return loading;
  }

  /** @param {string} id */
  async #read(id) {
    const [conversation, messages, draft] = await Promise.all([
      this.store.conversation(id),
      this.store.messages(id),
      this.store.draft(id),
    ]);
    if (!conversation || conversation.deletedAt !== null) return undefined;
    const chat = this.#make({ conversation, messages, draft });
    this.#chats.set(id, chat);
    chat.resume();
    return chat;
  }

  async #resumeAll() {
    const running = await this.store.running();
    await Promise.all([...new Set(running.map(({ conversation }) => conversation))].map((id) => this.#load(id)));
  }

  /** @param {Chat} chat */
  #heedChat(chat) {
    if (chat === this.shown && chat.id !== "" && !this.#chats.has(chat.id)) {
      this.#chats.set(chat.id, chat);
      this.#began(chat);
    }
    // One that was deleted may still have something to end.
    if (this.#chats.get(chat.id) !== chat || this.#isDeleted(chat.id)) return this.#changed();
    if (this.#conversations.get(chat.id) !== chat.record) {
      this.#conversations.set(chat.id, chat.record);
      this.#list = null;
    }
    this.#tidy(chat);
    this.#changed();
  }

  /**
   * Forget what can be read again.
   *
   * @param {Chat} chat
   */
  #tidy(chat) {
    if (chat !== this.shown && !chat.isBusy && this.store.keeps) this.#chats.delete(chat.id);
  }

  /**
   * @param {string} id
   * @param {(conversation: Conversation) => void} change
   */
  async #update(id, change) {
    const conversation = this.#conversations.get(id);
    if (!conversation) return;
    // Here at once: what is kept follows.
    const copy = structuredClone(conversation);
    change(copy);
    this.#take(id, copy, true);
    await this.store.update(id, change);
  }

  /** @param {Change} change */
  async #heed(change) {
    // What cannot be read is not gone: it is shown as it was.
    if (!this.store.keeps) return;
    // What is being read may be older than the change.
    await Promise.all([this.#opening, ...this.#loading.values()]);
    const conversations = new Set(change.conversations);
    // What this tab has made of its messages it knows. A question is there before its answer.
    const messages = change.own ? [] : await this.store.messagesAt(change.messages);
    await Promise.all(messages.map(async (message) => message && this.#heedMessage(message)));
    if (!change.own) await Promise.all(change.drafts.map(async (id) => this.#heedDraft(id)));
    // Many at once, as after an import, are read in one go.
    const all = conversations.size > 100 ? new Map((await this.store.conversations()).map((one) => [one.id, one])) : null;
    await Promise.all(
      [...conversations].map(async (id) => {
        const kept = all ? all.get(id) : await this.store.conversation(id);
        if (kept) this.#take(id, kept, change.own);
        else if (this.store.keeps) this.#drop(id, change.own);
      }),
    );
    this.#changed();
  }

  /** @param {Message} message as it is kept */
  async #heedMessage(message) {
    const chat = this.#chats.get(message.conversation);
    if (chat) chat.heed(null, [message]);
    else if (message.role === "assistant" && !message.end) await this.#load(message.conversation);
  }

  /** @param {string} id */
  async #heedDraft(id) {
    const chat = this.#chats.get(id);
    if (!chat) return;
    const before = chat.state.draft;
    const draft = await this.store.draft(id);
    // What was written here meanwhile is newer.
    if (chat.state.draft === before) chat.heedDraft(draft);
  }

  /**
   * @param {string} id
   * @param {Conversation} conversation as it is kept
   * @param {boolean} isOwn whether this tab has changed it
   */
  #take(id, conversation, isOwn) {
    this.#conversations.set(id, conversation);
    this.#list = null;
    if (conversation.deletedAt !== null) this.#leave(id, isOwn);
    else this.#chats.get(id)?.heed(conversation, []);
    this.#changed();
  }

  /**
   * @param {string} id of a conversation that is gone
   * @param {boolean} isOwn whether this tab has deleted it
   */
  #drop(id, isOwn) {
    this.#conversations.delete(id);
    this.#list = null;
    this.#leave(id, isOwn);
    this.#chats.delete(id);
  }

  /**
   * @param {string} id of a conversation that is not to be shown any more
   * @param {boolean} isOwn whether this tab has deleted it
   */
  #leave(id, isOwn) {
    this.#chats.get(id)?.leave();
    // It can be brought back; where nothing is kept, only from here.
    if (this.store.keeps) this.#chats.delete(id);
    if (this.shown.id !== id) return;
    this.shown = this.#unbegun?.id === "" ? this.#unbegun : this.#make({ settings: this.#newSettings() });
    this.#gone(isOwn);
    this.#changed();
    this.#takeUpDraft();
  }

  /** Bring back what was written for a new conversation and not sent, unless something is written there already. */
  async #takeUpDraft() {
    const { shown } = this;
    const draft = (await this.store.draft(this.#newKey)) ?? (await this.store.takeLeftDraft(this.#newKey));
    // A page that was loaded again is not gone.
    if (draft?.isLeft) this.store.saveDraft({ ...draft, isLeft: false });
    if (!draft || shown !== this.shown || shown.id !== "" || shown.state.draft !== "") return;
    this.#show(this.#make({ draft, settings: this.#newSettings() }));
  }

  /** @param {string} id */
  #isDeleted(id) {
    return (this.#conversations.get(id)?.deletedAt ?? null) !== null;
  }
}

/**
 * Those that were not deleted, what was asked in last comes first.
 *
 * @param {Iterable<Conversation>} conversations
 */
function listed(conversations) {
  return [...conversations].filter(({ deletedAt }) => deletedAt === null).sort((a, b) => b.updatedAt - a.updatedAt);
}

/**
 * A name for this tab, the same when it is loaded again.
 *
 * @param {string} key where it is kept
 */
function tabId(key) {
  try {
    const id = sessionStorage.getItem(key) ?? newId();
    sessionStorage.setItem(key, id);
    return id;
  } catch (error) {
    // Storage is full, or switched off.
    if (!(error instanceof DOMException)) throw error;
    return newId();
  }
}
