/**
 * The conversation: its state, and the only code that changes it.
 *
 * The state is plain JSON: what is saved is what is shown, and an answer's text and the id of its last event change
 * together, so that a page which is loaded again goes on exactly where the saved state ends. Views read `chat.state`
 * after `changed()` was called and never write to it.
 */

import { applyEvent, endOf, endThinking, neverArrived, newAnswer, reopen } from "./answer.js";
import { answer as follow, stopAnswer } from "./api.js";
import { Pace } from "./pace.js";

/**
 * @typedef {{role: "user", content: string}} UserMessage
 *
 * @typedef {import("./answer.js").Answer} Answer
 * @typedef {import("./answer.js").End} End
 *
 * A message that was sent while an answer ran, and whether it asks for thinking.
 *
 * @typedef {{content: string, think: boolean}} Waiting
 *
 * @typedef {object} State
 * @property {(UserMessage | Answer)[]} messages
 * @property {boolean} think
 * @property {string} draft what is in the composer
 * @property {Waiting[]} outbox in the order in which they go; while no answer runs they are held back
 * @property {boolean} held whether they are held back in any case, until the reader sends them
 * @property {string | null} editing while the last message is edited: the draft that was put aside for it
 */

/** What asks a model to go on with the answer before it; the reader does not see it. */
const GO_ON =
  "Your last answer was cut off. Go on exactly where it stopped, in the same language and format: " +
  "repeat nothing, and say nothing about the interruption.";

/** A connection that breaks again sooner than this, in ms, without an event, was never back. */
const BACK_AFTER = 1000;

/** @returns {State} */
function emptyState() {
  return { messages: [], think: false, draft: "", outbox: [], held: false, editing: null };
}

export class Chat {
  /** @type {State} */
  state;

  /** How the running answer's connection is. @type {import("./sse.js").ConnectionState} */
  connection = "open";

  /** The answer that was read last on this page: how it ends is news, and how others ended is not. @type {Answer | null} */
  followed = null;

  /** How the tokens arrive. */
  pace = new Pace();

  #store;
  #changed;
  /** What ran when the page was about to go away. @type {Answer | null} */
  #left = null;
  /** Ends the reading of the running answer. */
  #reading = new AbortController();
  /** Runs while a connection is new, after one that was lost. @type {ReturnType<typeof setTimeout> | undefined} */
  #back;

  /**
   * @param {object} options
   * @param {import("./store.js").Store} options.store
   * @param {() => void} options.changed called after every change of the state, possibly many times a frame
   */
  constructor({ store, changed }) {
    this.#store = store;
    this.#changed = changed;
    this.state = { ...emptyState(), .../** @type {Partial<State> | null} */ (store.load()) };
    if (store.isCopy) this.#leaveItToTheOther();
  }

  /** The answer that is running, or null. */
  get running() {
    const last = this.#last;
    return last && !last.end ? last : null;
  }

  /** Whether what waits goes only when the reader sends it. */
  get holdsBack() {
    return this.state.held || !this.running;
  }

  /** Go on with the answer that was running when the page was left. */
  resume() {
    if (!this.running) return;
    this.running.figures.interrupted = true;
    this.#read(this.running);
  }

  /** Note what runs before the page may go away: some browsers break a request off before `suspend()`. */
  leave() {
    this.#left = this.running;
  }

  /** Leave the running answer as it is, for `resume()`: what a page that goes away still hears is no news. */
  suspend() {
    this.#reading.abort();
    // A message that failed earlier may have arrived: only the reader sends it again.
    if (this.#left?.end?.kind !== "unreachable") return;
    reopen(this.#left);
    this.#commit();
  }

  /** Send the draft: at once, after the answer that runs, or in the place of the message that is edited. */
  sendDraft() {
    const { draft, editing } = this.state;
    if (draft.trim() === "") return;
    if (editing !== null) this.state.messages.splice(-2);
    this.state.draft = editing ?? "";
    this.state.editing = null;
    this.send(draft);
  }

  /**
   * Send a message, or let it wait for the end of the answer that runs. The draft stays.
   *
   * @param {string} content
   */
  send(content) {
    const message = { content, think: this.state.think };
    if (this.running) {
      this.state.outbox.push(message);
      this.#commit();
    } else {
      this.#ask(message);
    }
  }

  /** Send the first message that is held back. */
  release() {
    const next = this.running ? undefined : this.state.outbox.shift();
    this.state.held = false;
    if (next) this.#ask(next);
  }

  /**
   * Take a waiting message back into the composer, before what is there.
   *
   * @param {Waiting} message
   */
  withdraw(message) {
    const at = this.state.outbox.indexOf(message);
    if (at < 0) return;
    this.state.outbox.splice(at, 1);
    this.state.held &&= this.state.outbox.length > 0;
    this.state.draft = joined(message.content, this.state.draft);
    this.#commit();
  }

  /** Ask again for the last answer. */
  retry() {
    const last = this.#last;
    if (!last?.end) return;
    this.#leaveEditing();
    const asked = newAnswer(last.think);
    this.state.messages.splice(-1, 1, asked);
    this.#read(asked);
  }

  /** Go on with the last answer, which ended before its time: what comes is added to what is there. */
  continue() {
    const last = this.#last;
    if (!last?.end) return;
    this.#leaveEditing();
    reopen(last);
    this.#read(last);
  }

  /** Put the last message into the composer; sending it replaces that message and its answer. */
  edit() {
    if (!this.#last?.end || this.state.editing !== null) return;
    this.state.editing = this.state.draft;
    this.state.draft = this.#lastQuestion;
    this.#commit();
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
    this.state.draft = this.state.editing ?? this.state.draft;
    this.state.editing = null;
    this.#commit();
  }

  /** Stop the running answer, at any stage; what is on the screen stays. */
  stop() {
    const answer = this.running;
    if (!answer) return;
    this.#end(answer, { kind: "stopped" });
    // Without an id there is nothing to stop yet: `#read` does it when the id arrives.
    if (answer.id === "") return;
    // First hang up: a browser opens six connections to a server, and other tabs may hold the rest.
    this.#reading.abort();
    stopAnswer(answer.id);
  }

  /** Begin a new conversation; the draft stays, and what never got to the server joins it. */
  clear() {
    const last = this.#last;
    const isUnsent = last?.id === "" && last.content === "" && last.end?.kind !== "stopped";
    const unsent = isUnsent ? this.#lastQuestion : "";
    this.#leaveEditing();
    const draft = joined(unsent, ...this.state.outbox.map(({ content }) => content), this.state.draft);
    this.stop();
    this.state = { ...emptyState(), think: this.state.think, draft };
    this.#commit();
  }

  /** @param {boolean} think */
  setThink(think) {
    this.state.think = think;
    this.#commit();
  }

  /** @param {string} draft */
  setDraft(draft) {
    this.state.draft = draft;
    this.#store.save(this.state);
    this.#changed();
  }

  get #last() {
    const last = this.state.messages.at(-1);
    return last?.role === "assistant" ? last : null;
  }

  /** The message that the last answer is for. */
  get #lastQuestion() {
    return this.state.messages.at(-2)?.content ?? "";
  }

  /** Edit no more because something else happens: keep what was changed, and what was put aside. */
  #leaveEditing() {
    const { draft, editing } = this.state;
    if (editing === null) return;
    this.state.draft = joined(draft === this.#lastQuestion ? "" : draft, editing);
    this.state.editing = null;
  }

  /** Send nothing by itself that the tab which this one is a copy of sends, too. */
  #leaveItToTheOther() {
    this.state.held = this.state.outbox.length > 0;
    if (this.running?.id === "") this.running.end = { kind: "stopped" };
  }

  /** @param {Waiting} message */
  #ask({ content, think }) {
    this.#leaveEditing();
    const asked = newAnswer(think);
    this.state.messages.push({ role: "user", content }, asked);
    this.#read(asked);
  }

  /** @param {Answer} answer */
  async #read(answer) {
    const reading = new AbortController();
    this.#reading = reading;
    this.followed = answer;
    // It may run again by then, after a stop that came before its id; that is another reading's business.
    const isOver = () => answer.end !== null || this.#reading !== reading;
    this.#connect("open");
    this.#commit();
    try {
      const outcome = await follow({
        ...(answer.id === "" ? { body: this.#request(answer) } : { id: answer.id, lastEventId: answer.lastEventId }),
        signal: reading.signal,
        onRequest: () => {
          if (isOver()) reading.abort();
        },
        onOpen: (id) => {
          if (isOver()) {
            reading.abort();
            if (id !== "") stopAnswer(id);
            return;
          }
          answer.id = id;
          this.#commit();
        },
        onEvent: (event, lastEventId) => {
          this.#connect("open");
          this.pace.event(performance.now());
          applyEvent(answer, event);
          answer.lastEventId = lastEventId;
          this.#store.save(this.state);
          this.#changed();
        },
        onConnection: (connection) => {
          if (isOver()) return;
          this.pace.begin();
          if (connection === "open") {
            this.#back = setTimeout(() => this.#connect("open"), BACK_AFTER);
          } else {
            answer.figures.interrupted ||= answer.id !== "";
            this.#connect(connection);
          }
        },
      });
      if (!isOver()) this.#end(answer, endOf(answer, outcome));
    } catch (error) {
      // Aborted by `stop()`: the end is set already. Anything else is a fault of this page, and is shown as one.
      if (reading.signal.aborted && error === reading.signal.reason) return;
      this.#end(answer, { kind: "failed", code: "page_error", message: String(error) });
      throw error;
    }
  }

  /** @param {import("./sse.js").ConnectionState} connection */
  #connect(connection) {
    clearTimeout(this.#back);
    if (this.connection === connection) return;
    this.connection = connection;
    this.#changed();
  }

  /** @param {Answer} answer */
  #request(answer) {
    const before = this.state.messages.slice(0, this.state.messages.indexOf(answer));
    const messages = before
      .filter(({ content }, index) => content !== "" && !neverArrived(before[index + 1]))
      .map(({ role, content }) => ({ role, content }));
    if (answer.content !== "") {
      messages.push({ role: "assistant", content: answer.content }, { role: "user", content: GO_ON });
    }
    return { messages, thinking: answer.think, resumable: true };
  }

  /**
   * @param {Answer} answer
   * @param {End} end
   */
  #end(answer, end) {
    endThinking(answer);
    answer.end = end;
    // After any other end the reader decides: what waits may no longer fit.
    if (end.kind === "stop" && answer === this.#last && !this.state.held) this.release();
    this.#commit();
  }

  #commit() {
    this.#store.save(this.state);
    this.#store.flush();
    this.#changed();
  }
}

/** @param {...string} texts */
function joined(...texts) {
  return texts.filter(Boolean).join("\n\n");
}
