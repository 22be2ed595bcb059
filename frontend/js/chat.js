/**
 * One conversation: its state, and the only code that changes it.
 *
 * Views read `chat.state` after `changed()` was called and never write to it. What they see is what is kept: each change
 * is written at once, the text of an answer together with the id of its last event, so that a page which is loaded again
 * goes on exactly where the kept text ends. What other tabs write comes in by `heed()`.
 */

import { endThinking, isFurther, newAnswer, reopen } from "./answer.js";
import { admission, stopAnswer } from "./api.js";
import { models } from "./models.js";
import { Pace } from "./pace.js";
import { makePrompt, requestSettings, sameSettings } from "./prompt.js";
import { Reading } from "./reading.js";
import { defaultSettings, newId } from "./store.js";
import { Tree } from "./tree.js";

/**
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {import("./answer.js").End} End
 * @typedef {import("./store.js").Conversation} Conversation
 * @typedef {import("./store.js").Draft} Draft
 * @typedef {import("./store.js").Message} Message
 * @typedef {import("./store.js").Settings} Settings
 * @typedef {import("./store.js").UserMessage} UserMessage
 * @typedef {import("./store.js").Waiting} Waiting
 *
 * @typedef {object} State
 * @property {Message[]} messages the path that is shown, from its root
 * @property {Settings} settings
 * @property {string} draft what is in the composer
 * @property {Waiting[]} outbox in the order in which they go; while no answer runs they are held back
 * @property {{message: string, aside: string} | null} editing which question is edited, and the draft that was put aside
 *
 * @typedef {object} Surroundings what a conversation needs of the page
 * @property {import("./store.js").Store} store
 * @property {import("./turns.js").Turns} turns
 * @property {string} name of all that is kept here: the same in all tabs
 * @property {string} newKey of the draft of a conversation that was not begun yet
 * @property {(chat: Chat) => boolean} isSeen
 * @property {() => boolean} isLeaving whether the page may be about to go away
 * @property {(chat: Chat) => void} changed called after every change, possibly many times a frame
 */

/** How long typing may go on until it is kept, in ms. */
const DRAFT_MS = 250;

/** The longest title, in characters (UTF-16 code units). */
const TITLE_LENGTH = 100;

export class Chat {
  /** @type {State} */
  state;

  /** The answer that was read last on this page: how it ends is news, and how others ended is not. @type {Answer | null} */
  followed = null;

  /** How the tokens arrive. */
  pace = new Pace();

  tree;

  #around;
  /** What is kept of it; its `head` is where the path ended that was gone on with last, in any tab. @type {Conversation} */
  #record;
  /** Whether something was sent: before that, all there is is a draft. */
  #isBegun;
  /** What a conversation that is not begun need not keep. @type {Settings} */
  #usual;
  /** Where the path ends that is shown here. @type {string | null} */
  #head;
  /** By the id of the answer. @type {Map<string, Reading>} */
  #readings = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #draftTimer;
  /** Whether the draft could not be written: it is here alone. */
  #isDraftUnkept = false;
  /** Of a question that is sent again by itself. @type {End | null} */
  #awaited = null;
  /** The message from the outbox that is being written as a question. @type {string | null} */
  #released = null;
  /** Writes that are under way: until they are done, what is kept is older than what is here. */
  #writes = 0;

  /**
   * @param {Surroundings} around
   * @param {{conversation?: Conversation, messages?: Message[], draft?: Draft, settings?: Settings}} [kept] what is kept
   *   of a conversation; `settings` are those that a new one begins with, where its draft has none
   */
  constructor(around, { conversation, messages = [], draft, settings } = {}) {
    this.#around = around;
    this.#isBegun = conversation !== undefined;
    this.#usual = { ...defaultSettings(), model: settings?.model ?? null };
    this.#record = conversation ?? newConversation(draft?.settings ?? settings ?? this.#usual);
    this.tree = new Tree(messages);
    // The head may have been written a moment before its messages, or be lost by an import.
    this.#head = this.tree.get(this.#record.head) ? this.#record.head : this.tree.newestEnd(null);
    const { settings: kept, outbox } = this.#record;
    const { text = "", editing = null } = draft ?? {};
    this.state = { messages: this.#path(), settings: kept, draft: text, outbox, editing };
  }

  /** "" while nothing was sent. */
  get id() {
    return this.#isBegun ? this.#record.id : "";
  }

  /** "" while nothing was sent. */
  get title() {
    return this.#record.title;
  }

  /** What the list of conversations needs of it. */
  get record() {
    return this.#record;
  }

  /** The answer that is running, or null. */
  get running() {
    const last = this.#last;
    return last && !last.end ? last : null;
  }

  /** Whether an answer runs, be it on another path. */
  get isRunning() {
    return [...this.#readings.values()].some((reading) => reading.isCurrent);
  }

  /** Whether something is still to be written, or to be read. */
  get isBusy() {
    return this.#readings.size > 0 || this.#writes > 0 || this.#released !== null;
  }

  /** How the running answer's connection is. */
  get connection() {
    return this.#readings.get(this.running?.id ?? "")?.connection ?? "open";
  }

  /** Whether what waits goes only when the reader sends it. */
  get holdsBack() {
    return !this.running && this.#released === null && (!this.#awaited || this.#last?.end !== this.#awaited);
  }

  /**
   * Let what is sent wait for a question that the server has refused for now; null for none.
   *
   * @param {End | null} end of the last answer
   */
  waitFor(end) {
    this.#awaited = end;
    this.#around.changed(this);
  }

  /** Go on with the answers that run, after a page was left, or in another tab. */
  resume() {
    // The draft of what was not begun was left to others: it is this tab's again.
    if (!this.#isBegun) this.keepDraft(true);
    for (const answer of this.#unended) if (!this.#readings.get(answer.id)?.isCurrent) this.#read(answer, false);
  }

  /** The page goes away: leave the running answers as they are, for `resume()`. */
  suspend() {
    this.keepDraft();
    if (!this.#isBegun) this.#around.store.saveDraft({ ...this.#draft, isLeft: true });
    for (const reading of this.#readings.values()) reading.leave();
  }

  /** The conversation was deleted, here or in another tab: read no more of it. */
  leave() {
    this.keepDraft();
    for (const reading of this.#readings.values()) if (reading.isCurrent) reading.hangUp();
  }

  /** Send the draft: at once, after the answer that runs, or as another branch beside the message that is edited. */
  sendDraft() {
    const { draft, editing, settings } = this.state;
    if (draft.trim() === "") return;
    // The page may go away before what follows is written.
    this.keepDraft();
    this.state.draft = editing?.aside ?? "";
    this.state.editing = null;
    const edited = this.tree.get(editing?.message ?? null);
    if (edited) this.#ask({ content: draft, think: settings.think }, edited.parent);
    else this.send(draft);
  }

  /**
   * Send a message, or let it wait for the end of the answer that runs, or is asked for again soon. The draft stays.
   *
   * @param {string} content
   */
  send(content) {
    const { think } = this.state.settings;
    if (this.holdsBack) {
      this.#ask({ content, think }, this.#head);
      return;
    }
    const waiting = { id: newId(), content, think };
    this.#update((conversation) => conversation.outbox.push(waiting), true);
  }

  /** Send the first message that is held back. */
  async release() {
    const next = this.running || this.#released !== null ? undefined : this.state.outbox[0];
    if (next) await this.#ask(next, this.#head, next.id);
  }

  /**
   * Take a waiting message back into the composer, before what is there.
   *
   * @param {Waiting} message
   */
  withdraw({ id, content }) {
    if (id === this.#released || !this.state.outbox.some((waiting) => waiting.id === id)) return;
    this.state.draft = joined(content, this.state.draft);
    this.#update((conversation) => {
      conversation.outbox = conversation.outbox.filter((waiting) => waiting.id !== id);
    }, true);
  }

  /**
   * Ask again: for another answer beside this one, or, where it has no text and nothing follows, in its place.
   *
   * @param {Answer} [answer] the last one by default
   */
  retry(answer = this.#last ?? undefined) {
    if (!answer?.end || this.running) return;
    this.#leaveEditing();
    const { think } = this.state.settings;
    const asked = newAnswer({ ...answer, id: newId(), think, model: this.state.settings.model });
    if (answer.content !== "" || answer.thinking !== "" || this.tree.newestEnd(answer.id) !== answer.id) {
      this.#begin([asked]);
    } else {
      Object.assign(answer, asked, { id: answer.id, createdAt: answer.createdAt, runs: answer.runs + 1 });
      this.#read(answer, true, this.#save(answer));
    }
  }

  /** Go on with the last answer, which ended before its time: what comes is added to what is there. */
  continue() {
    const last = this.#last;
    if (!last?.end) return;
    this.#leaveEditing();
    reopen(last);
    this.#read(last, true, this.#save(last));
  }

  /**
   * Put a question into the composer; sending it makes another branch beside it.
   *
   * @param {Message} [question] the last one by default
   */
  edit(question = this.state.messages.at(-2)) {
    if (this.running || this.state.editing !== null || question?.role !== "user") return;
    this.state.editing = { message: question.id, aside: this.state.draft };
    this.#setDraftNow(question.content);
  }

  /** Take back the message that waits last, or else edit the last one. Returns false when there is none to edit. */
  editLast() {
    const waiting = this.state.outbox.at(-1);
    if (!waiting && (!this.#last?.end || this.state.editing !== null)) return false;
    if (waiting) this.withdraw(waiting);
    else this.edit();
    return true;
  }

  /** Edit no more: the draft that was put aside comes back. */
  cancelEdit() {
    const draft = this.state.editing?.aside ?? this.state.draft;
    this.state.editing = null;
    this.#setDraftNow(draft);
  }

  /** Stop the running answer, at any stage; what is on the screen stays. */
  stop() {
    if (this.running) this.#stop(this.running);
  }

  /** Stop all answers that run, on other paths, too. */
  stopAll() {
    for (const answer of this.#unended) this.#stop(answer);
  }

  /**
   * Show the path on which a message is: the one that was gone on with last from there.
   *
   * @param {string} id
   */
  walkTo(id) {
    if (!this.tree.get(id)) return;
    this.#moveTo(this.state.messages.some((message) => message.id === id) ? this.#head : this.tree.newestEnd(id));
    const head = this.#head;
    this.#update((conversation) => (conversation.head = head));
  }

  /** @param {Partial<Settings>} settings */
  setSettings(settings) {
    this.#update((conversation) => Object.assign(conversation.settings, settings));
    if (!this.#isBegun) this.keepDraft(true);
  }

  /** @param {string} draft */
  setDraft(draft) {
    this.state.draft = draft;
    this.#draftTimer ??= setTimeout(() => this.keepDraft(), DRAFT_MS);
    this.#around.changed(this);
  }

  /**
   * Keep the draft now, if it was changed.
   *
   * @param {boolean} [anyway]
   */
  keepDraft(anyway = false) {
    if (this.#draftTimer === undefined && !anyway) return;
    clearTimeout(this.#draftTimer);
    this.#draftTimer = undefined;
    this.#around.store.saveDraft(this.#draft).then((written) => (this.#isDraftUnkept = written === null));
  }

  /**
   * Take in what another tab has changed.
   *
   * @param {Conversation | null} conversation as it is kept, where it was changed
   * @param {Message[]} messages those that were changed, as they are kept
   */
  heed(conversation, messages) {
    for (const message of messages) this.#heedMessage(message);
    // Else it is read again after this tab's own writes.
    if (conversation && this.#writes === 0) this.#heedConversation(conversation);
    this.#around.changed(this);
  }

  /** The answers that run, on all paths. */
  get #unended() {
    const answers = [...this.tree.messages].filter((message) => message.role === "assistant");
    return /** @type {Answer[]} */ (answers).filter(({ end }) => end === null);
  }

  /**
   * Take in what was written in another tab, unless something is being written here, or could not be kept.
   *
   * @param {Draft | undefined} draft as it is kept
   */
  heedDraft(draft) {
    if (this.#draftTimer !== undefined || this.#isDraftUnkept) return;
    this.state.draft = draft?.text ?? "";
    this.state.editing = draft?.editing ?? null;
    this.#around.changed(this);
  }

  get #last() {
    const last = this.state.messages.at(-1);
    return last?.role === "assistant" ? last : null;
  }

  #path() {
    return this.tree.path(this.#head);
  }

  /** @returns {Draft} */
  get #draft() {
    const { draft: text, editing, settings } = this.state;
    const isDefault = sameSettings(settings, this.#usual);
    const conversation = this.#isBegun ? this.#record.id : this.#around.newKey;
    return { conversation, text, editing, settings: this.#isBegun || isDefault ? null : settings };
  }

  /** @param {string} draft */
  #setDraftNow(draft) {
    this.state.draft = draft;
    this.keepDraft(true);
    this.#around.changed(this);
  }

  /** Edit no more because something else happens: keep what was changed, and what was put aside. */
  #leaveEditing() {
    const { draft, editing } = this.state;
    if (editing === null) return;
    this.state.draft = joined(draft === this.tree.get(editing.message)?.content ? "" : draft, editing.aside);
    this.state.editing = null;
    this.keepDraft(true);
  }

  /**
   * Ask a question after a message, as another branch where there is one already.
   *
   * @param {{content: string, think: boolean}} message
   * @param {string | null} parent
   * @param {string} [waiting] its id in the outbox, where it has waited there
   */
  async #ask({ content, think }, parent, waiting) {
    this.#leaveEditing();
    const { id: conversation, title, settings } = this.#record;
    // That one which was used elsewhere is gone is no news in a conversation that begins.
    if (!this.#isBegun) settings.model = models.served(settings.model);
    const now = Date.now();
    /** @type {UserMessage} */
    const question = { id: newId(), conversation, parent, createdAt: now, role: "user", content };
    if (title === "") this.#record.title = titleOf(content);
    const { model } = settings;
    await this.#begin([question, newAnswer({ id: newId(), conversation, parent: question.id, think, model })], waiting);
  }

  /**
   * Add messages, the last one the answer that is to be asked for.
   *
   * @param {[...UserMessage[], Answer]} messages
   * @param {string} [waiting]
   */
  async #begin(messages, waiting) {
    const answer = /** @type {Answer} */ (messages.at(-1));
    const wasBegun = this.#isBegun;
    this.#isBegun = true;
    clearTimeout(this.#draftTimer);
    this.#draftTimer = undefined;
    /** @type {Draft[]} */
    const drafts = wasBegun ? [this.#draft] : [this.#draft, { conversation: this.#around.newKey, text: "", editing: null, settings: null }];
    const changes = { head: answer.id, updatedAt: answer.createdAt };
    const added = this.#written(this.#around.store.add({ ...this.#record, ...changes }, messages, { waiting, drafts }));
    if (waiting !== undefined) {
      this.#released = waiting;
      let isOurs = false;
      try {
        // What waited is sent by one tab only: who writes it first.
        isOurs = (await added) !== false;
      } finally {
        if (!isOurs) this.#released = null;
      }
      if (!isOurs) {
        this.keepDraft(true);
        return this.#around.changed(this);
      }
    }
    // Not what it was before that was written: it may have changed meanwhile.
    this.#record = { ...this.#record, ...changes, outbox: this.#record.outbox.filter(({ id }) => id !== waiting) };
    for (const message of messages) this.tree.add(message);
    this.#moveTo(answer.id);
    const reading = this.#read(answer, true, added);
    if (this.#released === waiting) this.#released = null;
    await reading;
  }

  /** @param {string | null} head */
  #moveTo(head) {
    this.#head = head;
    const { settings, outbox } = this.#record;
    Object.assign(this.state, { messages: this.#path(), settings, outbox });
    this.#around.changed(this);
  }

  /**
   * Change what belongs to the conversation: here at once, and as it is kept, whatever other tabs have made of it.
   *
   * @param {(conversation: Conversation) => void} change
   * @param {boolean} [withDraft] whether the draft is another one, too
   */
  #update(change, withDraft = false) {
    change(this.#record);
    const draft = withDraft ? this.#draft : undefined;
    if (this.#isBegun) this.#written(this.#around.store.update(this.#record.id, change, draft));
    this.#moveTo(this.#head);
  }

  /**
   * @template Written
   * @param {Promise<Written>} writing
   */
  async #written(writing) {
    this.#writes += 1;
    const written = await writing.finally(() => (this.#writes -= 1));
    if (this.#writes === 0) {
      // Notices of other tabs that came meanwhile were not heeded. What could not be written is here alone.
      const kept = written === null ? undefined : await this.#around.store.conversation(this.#record.id);
      if (kept && this.#writes === 0) this.#heedConversation(kept);
      this.#around.changed(this);
    }
    return written;
  }

  /**
   * @param {Answer} answer
   * @param {boolean} isOwn whether it was asked for here, just now
   * @param {Promise<unknown>} [kept] what must be kept before it is asked for
   */
  async #read(answer, isOwn, kept) {
    const { store, turns, name, isSeen, isLeaving, changed } = this.#around;
    this.followed = answer;
    const reading = new Reading(answer, {
      name,
      turns,
      isSeen: () => isSeen(this) && this.running === answer,
      isLeaving,
      request: async () => {
        if ((await kept) === false) {
          // Another tab was faster with the same: that one asks, and this one goes on should it go away.
          reading.hangUp();
          this.#read(answer, false);
        }
        return this.#request(answer);
      },
      refresh: async () => {
        const record = await store.message(answer.conversation, answer.id);
        if (record) this.#heedMessage(record);
      },
      save: (options) => this.#save(answer, options),
      ended: (end) => this.#end(answer, end),
      arrived: () => {
        this.pace.event(performance.now());
        changed(this);
      },
      changed: () => {
        if (reading.connection !== "open") this.pace.begin();
        changed(this);
      },
    });
    this.#readings.set(answer.id, reading);
    this.pace.begin();
    changed(this);
    try {
      await reading.run(isOwn);
    } finally {
      if (this.#readings.get(answer.id) === reading) this.#readings.delete(answer.id);
      changed(this);
    }
  }

  /** @param {Answer} answer */
  async #request(answer) {
    const { settings } = this.state;
    const path = this.tree.path(answer.id);
    // A first question that nothing is set for is asked at once, whatever is known of the model.
    if (path.length > 2 || !sameSettings({ ...settings, think: false }, defaultSettings())) await models.load();
    const model = models.named(answer.model);
    const { messages, leftOut } = makePrompt(path, settings, model);
    answer.leftOut = leftOut;
    const asked = { ...settings, think: answer.think && model.thinking, model: models.served(answer.model) };
    // Who has begun it is named, should another one go on.
    if (answer.content === "") answer.model = model.id || answer.model;
    return { messages, ...requestSettings(asked, model.takes), resumable: true };
  }

  /** @param {Answer} answer */
  #stop(answer) {
    const reading = this.#readings.get(answer.id);
    const isLocked = reading?.connection === "locked";
    this.#end(answer, { kind: "stopped" });
    // Without an id there is nothing to stop yet: who asked for it does so when the id arrives.
    if (answer.generation === "" && !isLocked) return;
    // First hang up: a browser opens six connections to a server, and other tabs may hold the rest.
    reading?.hangUp();
    if (answer.generation !== "") stopAnswer(answer.generation);
  }

  /**
   * @param {Answer} answer
   * @param {End} end
   */
  #end(answer, end) {
    endThinking(answer);
    answer.model ??= models.named(null).id || null;
    answer.end = end;
    if (end.kind === "refused" && end.code === "unknown_model") models.reload();
    if (end.kind === "failed" && end.code === "key_revoked") admission({ askedAt: Date.now(), isRevoked: true });
    this.#save(answer);
    this.#ended(answer);
    this.#around.changed(this);
  }

  /** @param {Answer} answer */
  #ended(answer) {
    // After any other end the reader decides: what waits may no longer fit.
    if (answer.end?.kind === "stop" && answer === this.#last) this.release();
  }

  /**
   * @param {Answer} answer
   * @param {Parameters<import("./store.js").Store["saveAnswer"]>[1]} [options]
   */
  #save(answer, options) {
    return this.#around.store.saveAnswer(answer, options);
  }

  /** @param {Message} message as it is kept */
  #heedMessage(message) {
    const own = this.tree.get(message.id);
    if (!own) {
      this.tree.add(message);
      if (message.role === "assistant" && !message.end) this.#read(message, false);
      return;
    }
    if (own.role === "user" || message.role === "user") return;
    // It had ended already when it was ended here: that was kept first, and stays.
    const endedOtherwise =
      own.end && message.end && message.runs === own.runs &&
      (message.end.kind !== own.end.kind || message.lastEventId !== own.lastEventId);
    if (!endedOtherwise && !isFurther(message, own)) return;
    const wasRunning = own.end === null;
    if (!endedOtherwise && message.content.startsWith(own.content) && message.thinking.startsWith(own.thinking)) {
      Object.assign(own, message);
    } else {
      // Another tab has stopped it where its own screen was, which is not as far as this one's; it may go on already.
      own.end = message.end ?? { kind: "stopped" };
      this.tree.add(message);
      this.state.messages = this.#path();
    }
    const answer = /** @type {Answer} */ (this.tree.get(message.id));
    const reading = this.#readings.get(answer.id);
    if (answer.end) {
      // A question without an answer is not hung up: it is to be stopped once there is one.
      if (answer.generation !== "") reading?.hangUp();
      if (wasRunning) this.#ended(answer);
    } else if (!reading?.isCurrent) {
      this.#read(answer, false);
    }
  }

  /** @param {Conversation} conversation as it is kept */
  #heedConversation(conversation) {
    const waiting = new Map(this.#record.outbox.map((message) => [message.id, message]));
    const outbox = conversation.outbox.map((message) => waiting.get(message.id) ?? message);
    this.#record = { ...conversation, outbox };
    // The path goes on in another tab. Where it goes another way there, it stays as it is here.
    const goesOn = this.tree.get(conversation.head) && this.tree.leadsTo(this.#head, conversation.head);
    this.#moveTo(goesOn ? conversation.head : this.#head);
  }
}

/**
 * @param {Settings} settings
 * @returns {Conversation}
 */
function newConversation(settings) {
  const now = Date.now();
  return {
    id: newId(),
    title: "",
    pinned: false,
    createdAt: now,
    updatedAt: now,
    head: null,
    settings: { ...settings },
    outbox: [],
    deletedAt: null,
  };
}

/**
 * The title that a conversation gets from its first message: the beginning of its first line.
 *
 * @param {string} content
 */
export function titleOf(content) {
  const line = content.trim().split("\n", 1)[0] ?? "";
  const title = line.replace(/\s+/g, " ").slice(0, TITLE_LENGTH);
  // Half of a character is none.
  return title.replace(/[\ud800-\udbff]$/, "").trim();
}

/** @param {...string} texts */
function joined(...texts) {
  return texts.filter(Boolean).join("\n\n");
}
