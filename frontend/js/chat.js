/**
 * The conversation: its state, and the only code that changes it.
 *
 * The state is plain JSON: what is saved is what is shown, and an answer's text and the id of its last event change
 * together, so that a page which is loaded again goes on exactly where the saved state ends. Views read `chat.state`
 * after `changed()` was called and never write to it.
 */

import { answer as follow, stopAnswer } from "./api.js";

/**
 * @typedef {{role: "user", content: string}} UserMessage
 *
 * @typedef {"sending" | "queued" | "loading" | "prefill" | "thinking" | "answering"} Phase
 *
 * How an answer ended. `stop` is the model's own end, `length` a limit, `stopped` the reader's wish; `cut` an answer
 * whose rest the server does not have any more; `failed` carries the server's words.
 *
 * @typedef {{kind: "stop" | "length" | "stopped" | "cut" | "unreachable"}
 *   | {kind: "failed" | "refused", code: string, message: string}} End
 *
 * @typedef {object} Answer
 * @property {"assistant"} role
 * @property {string} content
 * @property {boolean} think whether thinking was asked for
 * @property {string} thinking
 * @property {number | null} thinkingSince ms since the epoch
 * @property {number | null} thinkingMs how long it thought, once it has
 * @property {Phase} phase
 * @property {number} position in the line, from 1, while queued
 * @property {number} percent of the message that was read, while prefill
 * @property {string} id the generation's id, "" until the server has answered
 * @property {string} lastEventId
 * @property {"stop" | "length" | "cancelled" | null} finishReason
 * @property {End | null} end null while it runs
 *
 * @typedef {object} State
 * @property {(UserMessage | Answer)[]} messages
 * @property {boolean} think
 * @property {string} draft what is in the composer
 */

/** @returns {State} */
function emptyState() {
  return { messages: [], think: false, draft: "" };
}

/**
 * @param {boolean} think
 * @returns {Answer}
 */
function newAnswer(think) {
  return {
    role: "assistant",
    content: "",
    think,
    thinking: "",
    thinkingSince: null,
    thinkingMs: null,
    phase: "sending",
    position: 0,
    percent: 0,
    id: "",
    lastEventId: "",
    finishReason: null,
    end: null,
  };
}

export class Chat {
  /** @type {State} */
  state;

  /** How the running answer's connection is. @type {import("./sse.js").Connection} */
  connection = "open";

  #store;
  #changed;
  /** Ends the reading of the running answer. */
  #reading = new AbortController();

  /**
   * @param {object} options
   * @param {import("./store.js").Store} options.store
   * @param {() => void} options.changed called after every change of the state, possibly many times a frame
   */
  constructor({ store, changed }) {
    this.#store = store;
    this.#changed = changed;
    this.state = { ...emptyState(), .../** @type {Partial<State> | null} */ (store.load()) };
  }

  /** The answer that is running, or null. */
  get running() {
    const last = this.#last;
    return last && !last.end ? last : null;
  }

  /** Go on with the answer that was running when the page was left. */
  resume() {
    // Some browsers break a request off before they tell the page that it goes away.
    if (this.#last?.end?.kind === "unreachable") this.retry();
    else if (this.running) this.#read(this.running);
  }

  /** Leave the running answer as it is, for `resume()`: what a page that goes away still hears is no news. */
  suspend() {
    this.#reading.abort();
  }

  /**
   * Add a message and ask for its answer. Returns false, and does nothing, while an answer runs or without a text.
   *
   * @param {string} text
   */
  send(text) {
    if (this.running || text.trim() === "") return false;
    const asked = newAnswer(this.state.think);
    this.state.messages.push({ role: "user", content: text }, asked);
    this.state.draft = "";
    this.#read(asked);
    return true;
  }

  /** Ask again for the last answer. */
  retry() {
    const last = this.#last;
    if (!last?.end) return;
    const asked = newAnswer(last.think);
    this.state.messages.splice(-1, 1, asked);
    this.#read(asked);
  }

  /** Take the last message back into the composer, before what is there. */
  edit() {
    if (!this.#last?.end) return;
    const [message] = this.state.messages.splice(-2);
    this.state.draft = [message?.content, this.state.draft].filter(Boolean).join("\n\n");
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

  /** Begin a new conversation; the draft stays. */
  clear() {
    this.stop();
    this.state = { ...emptyState(), think: this.state.think, draft: this.state.draft };
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

  /** @param {Answer} answer */
  async #read(answer) {
    const reading = new AbortController();
    this.#reading = reading;
    this.connection = "open";
    this.#commit();
    try {
      const outcome = await follow({
        ...(answer.id === "" ? { body: this.#request(answer) } : { id: answer.id, lastEventId: answer.lastEventId }),
        signal: reading.signal,
        onOpen: (id) => {
          if (answer.end) {
            reading.abort();
            if (id !== "") stopAnswer(id);
            return;
          }
          answer.id = id;
          this.#commit();
        },
        onEvent: (event, lastEventId) => {
          applyEvent(answer, event);
          answer.lastEventId = lastEventId;
          this.#store.save(this.state);
          this.#changed();
        },
        onConnection: (connection) => {
          if (answer.end) return;
          this.connection = connection;
          this.#changed();
        },
      });
      if (!answer.end) this.#end(answer, endOf(answer, outcome));
    } catch (error) {
      // Aborted by `stop()`: the end is set already. Anything else is a fault of this page, and is shown as one.
      if (reading.signal.aborted && error === reading.signal.reason) return;
      this.#end(answer, { kind: "failed", code: "page_error", message: String(error) });
      throw error;
    }
  }

  /** @param {Answer} answer */
  #request(answer) {
    const messages = this.state.messages
      .slice(0, this.state.messages.indexOf(answer))
      .filter(({ content }) => content !== "")
      .map(({ role, content }) => ({ role, content }));
    return { messages, thinking: answer.think, resumable: true };
  }

  /**
   * @param {Answer} answer
   * @param {End} end
   */
  #end(answer, end) {
    endThinking(answer);
    answer.end = end;
    this.#commit();
  }

  #commit() {
    this.#store.save(this.state);
    this.#store.flush();
    this.#changed();
  }
}

/**
 * @param {Answer} answer
 * @param {any} event the JSON of one event; see the wire's description
 */
function applyEvent(answer, event) {
  if (event.status) {
    answer.phase = event.status;
    answer.position = event.position ?? 0;
    answer.percent = event.total ? Math.round((100 * event.done) / event.total) : 0;
  } else if (event.thinking !== undefined) {
    answer.phase = "thinking";
    answer.thinkingSince ??= Date.now();
    answer.thinking += event.thinking;
  } else if (event.finish_reason) {
    answer.finishReason = event.finish_reason;
  } else if (event.token) {
    endThinking(answer);
    answer.phase = "answering";
    answer.content += event.token;
  }
}

/** @param {Answer} answer */
function endThinking(answer) {
  if (answer.thinkingSince !== null) answer.thinkingMs ??= Date.now() - answer.thinkingSince;
}

/**
 * @param {Answer} answer
 * @param {import("./sse.js").Outcome} outcome
 * @returns {End}
 */
function endOf(answer, outcome) {
  switch (outcome.state) {
    case "finished":
      return { kind: answer.finishReason === "cancelled" ? "stopped" : (answer.finishReason ?? "stop") };
    case "failed":
    case "refused":
      return { kind: outcome.state, code: outcome.code, message: outcome.message };
    case "unreachable":
      return { kind: "unreachable" };
    case "gone":
      return { kind: "cut" };
  }
}
