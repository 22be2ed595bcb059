/**
 * Keeps all conversations in this browser (IndexedDB), for all tabs, and tells each tab what another one changed.
 *
 * No write undoes another tab's: messages are only ever added, an answer is only replaced by one that is further
 * (`isFurther`), and what belongs to a conversation is changed by reading and writing it in one transaction. So tabs
 * need no agreement about who writes, and a notice may come late or twice: it only says what to read again.
 *
 * A browser that keeps nothing is no reason not to chat: `keeps` is false then, reads find nothing, writes do nothing.
 */

import { isFurther } from "./answer.js";
import { migrate, VERSION } from "./schema.js";
import { Tree } from "./tree.js";

/**
 * @typedef {import("./answer.js").Answer} Answer
 *
 * A question. Messages of a conversation are a tree: the first ones have no parent, siblings are other ways to go on.
 *
 * @typedef {object} UserMessage
 * @property {string} id unique among all messages, see `newId`
 * @property {string} conversation
 * @property {string | null} parent the message that it follows
 * @property {number} createdAt ms since the epoch
 * @property {"user"} role
 * @property {string} content
 *
 * @typedef {UserMessage | Answer} Message
 *
 * How the model is asked; null leaves it to the model.
 *
 * @typedef {object} Settings
 * @property {boolean} think
 * @property {string} system the system prompt, "" for none
 * @property {string | null} model one of `GET /models`
 * @property {number | null} temperature 0 to 2
 * @property {number | null} topP above 0, to 1
 * @property {number | null} maxTokens 1 and more
 *
 * A message that was sent while an answer ran, and whether it asks for thinking.
 *
 * @typedef {{id: string, content: string, think: boolean}} Waiting
 *
 * A conversation without its messages: all of them together are in memory, for the list.
 *
 * @typedef {object} Conversation
 * @property {string} id
 * @property {string} title
 * @property {boolean} pinned
 * @property {number} createdAt ms since the epoch
 * @property {number} updatedAt when something was asked last, ms since the epoch
 * @property {string | null} head the message at which the path that is shown ends
 * @property {Settings} settings
 * @property {Waiting[]} outbox in the order in which they go
 * @property {number | null} deletedAt ms since the epoch; it is gone for the reader, but can be brought back
 *
 * What is in a composer and was not sent; of a conversation that was not begun yet, all there is. Each tab may have one
 * of those: its key begins with `NEW`, and is the same after a reload.
 *
 * @typedef {object} Draft
 * @property {string} conversation its id, or a key
 * @property {string} text
 * @property {{message: string, aside: string} | null} editing which message is edited, and the draft that was put aside
 * @property {Settings | null} settings of a conversation that was not begun yet
 * @property {boolean} [isLeft] whether the tab that wrote it is gone, or about to be: then another one may take it
 *
 * @typedef {object} Preset
 * @property {string} id
 * @property {string} name
 * @property {Settings} settings
 *
 * What to read again, and whether this tab knows it already. `messages` has pairs of a conversation's and a message's id.
 *
 * @typedef {{conversations: string[], messages: [string, string][], drafts: string[], presets: boolean, own: boolean}} Change
 *
 * Why nothing is kept: `unavailable` (private modes, a broken profile), `newer` (a newer page has changed the schema),
 * `full` (no room; what follows is tried again), `almostFull` (still kept).
 *
 * @typedef {"unavailable" | "newer" | "full" | "almostFull"} StoreTrouble
 */

/** What the keys of drafts for conversations that were not begun yet begin with. */
export const NEW = "new ";

/** From this part of the room on, the reader is warned. */
const ALMOST_FULL = 0.85;

/** How often the room is looked at, in ms: it is no cheap question. */
const ROOM_EVERY_MS = 60_000;

/** How long the database may take to open, in ms. */
const PATIENCE_MS = 5000;

/** How many messages `allMessages` reads at a time. */
const BATCH = 500;

/** How many conversations `take` is busy with at a time. */
const TAKEN_AT_ONCE = 100;

/** Return a new id: 128 random bits, in hexadecimal; also by plain http, where `crypto.randomUUID` is missing. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {Settings} */
export function defaultSettings() {
  return { think: false, system: "", model: null, temperature: null, topP: null, maxTokens: null };
}

export class Store {
  /** @type {StoreTrouble | null} */
  trouble = null;

  #name;
  /** @type {IDBDatabase | null} */
  #db = null;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {((change: Change) => void)[]} */
  #listeners = [];
  #onTrouble;
  #roomAt = -Infinity;
  #askedToPersist = false;

  /**
   * @param {string} name of the database; several pages of one host share its storage
   * @param {(trouble: StoreTrouble | null) => void} [onTrouble] called when that changes
   */
  constructor(name, onTrouble = () => {}) {
    this.#name = name;
    this.#onTrouble = onTrouble;
  }

  /** Whether anything is kept. */
  get keeps() {
    return this.#db !== null;
  }

  /** Open the database, making or migrating it; where that fails, `trouble` says why. To be called once, first. */
  async open() {
    try {
      // Firefox refuses this, too, where nothing may be kept.
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.addEventListener("message", ({ data }) => this.#tell({ ...data, own: false }));
      const request = indexedDB.open(this.#name, VERSION);
      request.addEventListener("upgradeneeded", ({ oldVersion }) =>
        migrate(request.result, /** @type {IDBTransaction} */ (request.transaction), oldVersion),
      );
      this.#db = await inTime(settled(request));
    } catch (error) {
      // InvalidStateError, SecurityError, UnknownError …: browsers differ in what they say where nothing can be kept.
      if (!(error instanceof DOMException)) throw error;
      this.#report(error.name === "VersionError" ? "newer" : "unavailable");
      return;
    }
    // A newer page wants to change the schema: make way, and write nothing of the old kind into it.
    this.#db.addEventListener("versionchange", () => this.#close("newer"));
    // The reader has cleared the site's data, or the browser has.
    this.#db.addEventListener("close", () => this.#close("unavailable"));
  }

  /** Write nothing more, and tell nothing. */
  close() {
    this.#db?.close();
    this.#db = null;
    this.#channel?.close();
  }

  /**
   * Be told of each change, in this tab and others, after it was written.
   *
   * @param {(change: Change) => void} listener
   */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  // Reading

  /** @returns {Promise<Conversation[]>} all of them, those that can be brought back included, in no order */
  async conversations() {
    return this.#read("conversations", (store) => store.getAll(), []);
  }

  /**
   * @param {string} id
   * @returns {Promise<Conversation | undefined>}
   */
  async conversation(id) {
    return this.#read("conversations", (store) => store.get(id), undefined);
  }

  /**
   * @param {string} conversation
   * @returns {Promise<Message[]>} all of its messages, the oldest first
   */
  async messages(conversation) {
    /** @type {Message[]} */
    const messages = await this.#read("messages", (store) => store.getAll(all(conversation)), []);
    return messages.sort((a, b) => a.createdAt - b.createdAt);
  }

  /**
   * @param {string} conversation
   * @param {string} id
   * @returns {Promise<Message | undefined>}
   */
  async message(conversation, id) {
    return this.#read("messages", (store) => store.get([conversation, id]), undefined);
  }

  /**
   * @param {[conversation: string, id: string][]} keys
   * @returns {Promise<(Message | undefined)[]>} in the order of the keys
   */
  async messagesAt(keys) {
    /** @type {(Message | undefined)[]} */
    const messages = keys.map(() => undefined);
    if (keys.length === 0) return messages;
    return this.#read(
      "messages",
      (store) => {
        /** @type {IDBRequest | undefined} */
        let last;
        keys.forEach((key, index) => {
          const get = (last = store.get(key));
          get.addEventListener("success", () => (messages[index] = get.result));
        });
        return /** @type {IDBRequest} */ (last);
      },
      undefined,
    ).then(() => messages);
  }

  /** @returns {Promise<Answer[]>} the answers that have not ended */
  async running() {
    return this.#read("messages", (store) => store.index("running").getAll(), []);
  }

  /**
   * Read all messages there are, those of one conversation together.
   *
   * @returns {AsyncGenerator<Message[]>} some hundred at a time, so that the page is never held up for long
   */
  async *allMessages() {
    /** @type {IDBKeyRange | null} */
    let range = null;
    for (;;) {
      /** @type {Message[]} */
      const messages = await this.#read("messages", (store) => store.getAll(range, BATCH), []);
      const last = messages.at(-1);
      if (!last) return;
      yield messages;
      range = IDBKeyRange.lowerBound([last.conversation, last.id], true);
    }
  }

  /**
   * @param {string} conversation
   * @returns {Promise<Draft | undefined>}
   */
  async draft(conversation) {
    return this.#read("drafts", (store) => store.get(conversation), undefined);
  }

  /** @returns {Promise<Preset[]>} by name */
  async presets() {
    /** @type {Preset[]} */
    const presets = await this.#read("presets", (store) => store.getAll(), []);
    return presets.sort((a, b) => a.name.localeCompare(b.name));
  }

  // Writing: each is one transaction of what is given at the moment of the call. It resolves with true when that is
  // written, with false when there was a reason not to, and with null when nothing could be written.

  /**
   * Add messages at the end of a conversation's path, and make the conversation if it is new.
   *
   * @param {Conversation} conversation as it is to be where it is new; else only `head` and `updatedAt` are taken
   * @param {Message[]} messages
   * @param {object} [options]
   * @param {string} [options.waiting] the id of the message in the outbox that this sends: it is taken out, and where it
   *   is not there any more, because another tab sent it or took it back, nothing is written
   * @param {Draft[]} [options.drafts] what is left in composers: a message is sent, or still a draft, never neither
   */
  async add(conversation, messages, { waiting, drafts = [] } = {}) {
    this.#askToPersist();
    const record = structuredClone(conversation);
    const { id, head, updatedAt } = record;
    /** @type {(stored: Conversation | undefined) => Conversation | null} */
    const added = (stored) => {
      if (waiting === undefined) return stored ? { ...stored, head, updatedAt } : record;
      if (!stored?.outbox.some((message) => message.id === waiting)) return null;
      return { ...stored, head, updatedAt, outbox: stored.outbox.filter((message) => message.id !== waiting) };
    };
    const records = messages.map(recordOf);
    const change = changed({
      conversations: [id],
      messages: records.map((message) => [id, message.id]),
      drafts: drafts.map((draft) => draft.conversation),
    });
    return this.#write(["conversations", "messages", "drafts"], change, (transaction) => {
      const conversations = transaction.objectStore("conversations");
      const store = transaction.objectStore("messages");
      const get = conversations.get(id);
      get.onsuccess = () => {
        const next = added(get.result);
        if (!next) return transaction.abort();
        conversations.put(next);
        for (const message of records) store.put(message);
        for (const draft of drafts) keepDraft(transaction, draft);
        transaction.commit();
      };
    });
  }

  /**
   * Keep an answer, unless what is kept is as far or further, or its conversation is gone.
   *
   * @param {Answer} answer
   * @param {{unasked?: boolean}} [options] `unasked`: whatever is kept, because the page goes away before it could be
   *   asked what that is; for the tab that reads the answer
   */
  async saveAnswer(answer, { unasked = false } = {}) {
    const { conversation, id } = answer;
    const record = recordOf(answer);
    return this.#write(["messages"], changed({ messages: [[conversation, id]] }), (transaction) => {
      const store = transaction.objectStore("messages");
      if (unasked) {
        store.put(record);
        return transaction.commit();
      }
      const get = store.get([conversation, id]);
      get.onsuccess = () => {
        if (!get.result || !isFurther(/** @type {Answer} */ (record), get.result)) return transaction.abort();
        store.put(record);
        transaction.commit();
      };
    });
  }

  /**
   * Change what belongs to a conversation.
   *
   * @param {string} id
   * @param {(conversation: Conversation) => void} change changes the conversation as it is kept
   * @param {Draft} [draft] what is in its composer from then on
   */
  async update(id, change, draft) {
    const drafts = draft ? [draft.conversation] : [];
    return this.#write(["conversations", "drafts"], changed({ conversations: [id], drafts }), (transaction) => {
      const store = transaction.objectStore("conversations");
      const get = store.get(id);
      get.onsuccess = () => {
        if (!get.result) return transaction.abort();
        change(get.result);
        store.put(get.result);
        if (draft) keepDraft(transaction, draft);
        transaction.commit();
      };
    });
  }

  /**
   * Remove conversations with all that belongs to them, for good.
   *
   * @param {string[]} ids
   */
  async remove(ids) {
    return this.#write(["conversations", "messages", "drafts"], changed({ conversations: ids }), (transaction) => {
      for (const id of ids) {
        transaction.objectStore("conversations").delete(id);
        transaction.objectStore("messages").delete(all(id));
        transaction.objectStore("drafts").delete(id);
      }
      transaction.commit();
    });
  }

  /**
   * Take in conversations and messages from elsewhere, all or nothing. What is here already stays as it is; only where
   * the path that is shown goes on in what is taken in, its new end is shown.
   *
   * @param {{conversation: Conversation, messages: Message[]}[]} conversations each with valid, whole records: parents
   *   that are there, no answer that runs
   * @returns {Promise<{conversations: number, messages: number} | null>} how many of them are new; null where nothing
   *   could be written
   */
  async take(conversations) {
    const added = { conversations: 0, messages: 0 };
    // This tab, too, has yet to read it.
    const change = changed({ conversations: conversations.map(({ conversation }) => conversation.id), own: false });
    const left = conversations.values();
    const written = await this.#write(["conversations", "messages"], change, (transaction) => {
      const records = transaction.objectStore("conversations");
      const store = transaction.objectStore("messages");
      const takeNext = () => {
        const { value: next } = left.next();
        if (!next) return;
        const get = records.get(next.conversation.id);
        get.onsuccess = () => {
          if (!get.result) {
            added.conversations += 1;
            added.messages += next.messages.length;
            for (const message of next.messages) store.put(message);
            records.put(next.conversation).onsuccess = takeNext;
            return;
          }
          const record = goneOn(get.result, next.conversation, next.messages);
          // One that was deleted is wanted again.
          if (record !== get.result || record.deletedAt !== null) records.put({ ...record, deletedAt: null });
          const keys = store.getAllKeys(all(next.conversation.id));
          keys.onsuccess = () => {
            const known = new Set(keys.result.map((key) => /** @type {string[]} */ (key)[1]));
            const missing = next.messages.filter(({ id }) => !known.has(id));
            added.messages += missing.length;
            for (const message of missing) {
              store.put(message);
              change.messages.push([message.conversation, message.id]);
            }
            takeNext();
          };
        };
      };
      // Not all at once: the page would stand still meanwhile.
      for (let count = 0; count < TAKEN_AT_ONCE; count += 1) takeNext();
    });
    return written ? added : null;
  }

  /**
   * Keep a draft; an empty one is no longer kept. Written at once, so that it survives the page that goes away.
   *
   * @param {Draft} draft
   */
  async saveDraft(draft) {
    return this.#write(["drafts"], changed({ drafts: [draft.conversation] }), (transaction) => {
      keepDraft(transaction, draft);
      transaction.commit();
    });
  }

  /**
   * Take over what a tab that is gone has left of a conversation that was not begun; of all tabs, one does.
   *
   * @param {string} key of the tab that takes it
   * @returns {Promise<Draft | undefined>}
   */
  async takeLeftDraft(key) {
    /** @type {Draft | undefined} */
    let draft;
    const taken = await this.#write(["drafts"], changed({ drafts: [key] }), (transaction) => {
      const store = transaction.objectStore("drafts");
      const get = store.getAll(IDBKeyRange.bound(NEW, `${NEW}\uffff`));
      get.onsuccess = () => {
        const left = get.result.find(({ isLeft }) => isLeft);
        if (!left) return transaction.abort();
        draft = { ...left, conversation: key, isLeft: false };
        store.delete(left.conversation);
        store.put(draft);
        transaction.commit();
      };
    });
    return taken ? draft : undefined;
  }

  /** @param {Preset} preset */
  async savePreset(preset) {
    return this.#write(["presets"], changed({ presets: true }), (transaction) => {
      transaction.objectStore("presets").put(preset);
      transaction.commit();
    });
  }

  /** @param {string} id */
  async removePreset(id) {
    return this.#write(["presets"], changed({ presets: true }), (transaction) => {
      transaction.objectStore("presets").delete(id);
      transaction.commit();
    });
  }

  /**
   * @template Result
   * @param {string} name of an object store
   * @param {(store: IDBObjectStore) => IDBRequest<Result>} ask
   * @param {Result} nothing what to return where nothing is kept
   */
  async #read(name, ask, nothing) {
    if (!this.#db) return nothing;
    try {
      return await settled(ask(this.#db.transaction(name).objectStore(name)));
    } catch (error) {
      this.#judge(error);
      return nothing;
    }
  }

  /**
   * @param {string[]} names of object stores
   * @param {Change} change what to tell once it is written
   * @param {(transaction: IDBTransaction) => void} work makes its requests at once, or when one of them succeeds
   */
  async #write(names, change, work) {
    if (!this.#db) return null;
    try {
      const transaction = this.#db.transaction(names, "readwrite");
      work(transaction);
      if (!(await completed(transaction))) return false;
    } catch (error) {
      this.#judge(error);
      return null;
    }
    // What could not be written before can be now.
    if (this.trouble !== "almostFull") this.#report(null);
    this.#lookForRoom();
    this.#channel?.postMessage(change);
    this.#tell(change);
    return true;
  }

  /** @param {Change} change */
  #tell(change) {
    for (const listener of this.#listeners) listener(change);
  }

  /** @param {unknown} error */
  #judge(error) {
    if (!(error instanceof DOMException)) throw error;
    if (error.name === "QuotaExceededError") this.#report("full");
    // The database was closed between two steps; why has been reported.
    else if (error.name !== "AbortError" && error.name !== "InvalidStateError") this.#report("unavailable");
  }

  /** @param {StoreTrouble | null} trouble */
  #report(trouble) {
    if (this.trouble === trouble) return;
    this.trouble = trouble;
    this.#onTrouble(trouble);
  }

  /** @param {StoreTrouble} trouble */
  #close(trouble) {
    this.#db?.close();
    this.#db = null;
    this.#report(trouble);
  }

  /** Ask the browser not to clear this away when it needs room. Some ask the reader, so not before there is something. */
  #askToPersist() {
    if (this.#askedToPersist || !this.#db) return;
    this.#askedToPersist = true;
    // Missing by plain http; where it is refused, all is kept as before.
    navigator.storage?.persist?.().catch(() => {});
  }

  async #lookForRoom() {
    const now = performance.now();
    if (!navigator.storage?.estimate || now - this.#roomAt < ROOM_EVERY_MS) return;
    this.#roomAt = now;
    // Some refuse to tell.
    const { usage = 0, quota = Infinity } = await navigator.storage.estimate().catch(() => /** @type {StorageEstimate} */ ({}));
    if (usage > ALMOST_FULL * quota) {
      if (this.trouble === null) this.#report("almostFull");
    } else if (this.trouble === "almostFull") {
      this.#report(null);
    }
  }
}

/** @param {Partial<Change>} what @returns {Change} */
function changed(what) {
  return { conversations: [], messages: [], drafts: [], presets: false, own: true, ...what };
}

/**
 * A conversation that is kept, with the end of one that goes on after its own end; else as it is.
 *
 * @param {Conversation} kept
 * @param {Conversation} taken
 * @param {Message[]} messages of the one that is taken
 */
function goneOn(kept, taken, messages) {
  if (kept.head === taken.head) return kept;
  const goesOn = new Tree(messages).leadsTo(kept.head, taken.head);
  return goesOn ? { ...kept, head: taken.head, updatedAt: Math.max(kept.updatedAt, taken.updatedAt) } : kept;
}

/**
 * @param {IDBTransaction} transaction
 * @param {Draft} draft
 */
function keepDraft(transaction, draft) {
  const store = transaction.objectStore("drafts");
  if (draft.text === "" && !draft.editing && !draft.settings) store.delete(draft.conversation);
  else store.put(draft);
}

/**
 * The record of a message, a copy. `running` is there only while an answer runs: an index has no entry for what has none.
 *
 * @param {Message} message
 */
function recordOf(message) {
  const record = /** @type {Message & {running?: 1}} */ (structuredClone(message));
  delete record.running;
  if (record.role === "assistant" && record.end === null) record.running = 1;
  return record;
}

/**
 * The keys of all messages of a conversation.
 *
 * @param {string} conversation
 */
function all(conversation) {
  // An array is greater than every string.
  return IDBKeyRange.bound([conversation], [conversation, []]);
}

/**
 * Some browsers answer never (WebKit bug 226547): then it is as if they had refused.
 *
 * @param {Promise<IDBDatabase>} opening
 */
async function inTime(opening) {
  const late = new DOMException("The database does not open.", "TimeoutError");
  const clock = new Promise((_, reject) => setTimeout(reject, PATIENCE_MS, late));
  try {
    return await Promise.race([opening, /** @type {Promise<never>} */ (clock)]);
  } catch (error) {
    if (error === late) opening.then((db) => db.close(), () => {});
    throw error;
  }
}

/**
 * @template Result
 * @param {IDBRequest<Result>} request
 * @returns {Promise<Result>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Whether a transaction was written: false when it was aborted on purpose. Rejects with what made it fail.
 *
 * @param {IDBTransaction} transaction
 * @returns {Promise<boolean>}
 */
function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(true);
    transaction.onabort = () => (transaction.error ? reject(transaction.error) : resolve(false));
  });
}
