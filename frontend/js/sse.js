/**
 * Server-sent events over `fetch`.
 *
 * `EventStreamParser` turns bytes into events by the rules of the standard (WHATWG HTML, sections 9.2.5 and 9.2.6) and
 * does no I/O. `followAnswer` reads one answer to its end, over as many connections as that takes.
 */

import { backoff, pause } from "./retry.js";

/** @typedef {{type: string, data: string, lastEventId: string}} ServerSentEvent */

export class EventStreamParser {
  /** The id to resume after; it is kept by `finish()`. */
  lastEventId;

  /** The reconnection time that the server asked for, in ms, or null. @type {number | null} */
  retry = null;

  // The decoder hands the byte order mark through, so that one rule takes it from bytes and from strings.
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #atStart = true;
  #afterCarriageReturn = false;
  /** Pieces of the open line, joined once: joining at every chunk would be quadratic. @type {string[]} */
  #line = [];
  #type = "";
  /** @type {string[]} */
  #data = [];
  #id;

  /** @param {string} [lastEventId] where an earlier stream ended */
  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /**
   * Take the next piece of the stream and return the events that it completes, in order.
   *
   * Linear in the input, however it is cut. Bytes may be cut inside a character; a string ends what was cut.
   *
   * @param {Uint8Array | string} chunk
   * @returns {ServerSentEvent[]}
   */
  feed(chunk) {
    const text = this.#decode(chunk);
    /** @type {ServerSentEvent[]} */
    const events = [];
    let from = 0;
    if (this.#afterCarriageReturn && text !== "") {
      this.#afterCarriageReturn = false;
      if (text[0] === "\n") from = 1;
    }
    // Each search resumes where the last one of its kind ended: a chunk without CR is searched for one only once.
    let lineFeed = -1;
    let carriageReturn = -1;
    for (;;) {
      if (lineFeed < from) lineFeed = indexOrEnd(text, "\n", from);
      if (carriageReturn < from) carriageReturn = indexOrEnd(text, "\r", from);
      const end = Math.min(lineFeed, carriageReturn);
      if (end === text.length) break;
      this.#line.push(text.slice(from, end));
      const line = this.#line.join("");
      this.#line = [];
      this.#endLine(line, events);
      from = end + 1;
      if (end === carriageReturn) {
        if (from === text.length) this.#afterCarriageReturn = true;
        else if (text[from] === "\n") from += 1;
      }
    }
    if (from < text.length) this.#line.push(text.slice(from));
    return events;
  }

  /** End this stream: drop the event that was open, keep `lastEventId` and `retry`, be ready for the next stream. */
  finish() {
    this.#decoder.decode();
    this.#atStart = true;
    this.#afterCarriageReturn = false;
    this.#line = [];
    this.#type = "";
    this.#data = [];
    this.#id = this.lastEventId;
  }

  /** Forget everything. */
  reset() {
    this.lastEventId = "";
    this.retry = null;
    this.finish();
  }

  /** @param {Uint8Array | string} chunk */
  #decode(chunk) {
    const text =
      typeof chunk === "string" ? this.#decoder.decode() + chunk : this.#decoder.decode(chunk, { stream: true });
    if (!this.#atStart || text === "") return text;
    this.#atStart = false;
    return text[0] === "\uFEFF" ? text.slice(1) : text;
  }

  /**
   * @param {string} line
   * @param {ServerSentEvent[]} events
   */
  #endLine(line, events) {
    if (line === "") {
      this.#dispatch(events);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon); // "" for a comment, which is no field's name
    const valueAt = line[colon + 1] === " " ? colon + 2 : colon + 1;
    const value = colon < 0 ? "" : line.slice(valueAt);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
  }

  /** @param {ServerSentEvent[]} events */
  #dispatch(events) {
    this.lastEventId = this.#id;
    if (this.#data.length > 0) {
      events.push({ type: this.#type || "message", data: this.#data.join("\n"), lastEventId: this.lastEventId });
    }
    this.#type = "";
    this.#data = [];
  }
}

/**
 * @param {string} text
 * @param {string} character
 * @param {number} from
 */
function indexOrEnd(text, character, from) {
  const index = text.indexOf(character, from);
  return index < 0 ? text.length : index;
}

/**
 * How an answer ended.
 *
 * - finished: everything was received
 * - failed: the server said so in the stream, in an error event
 * - refused: the server said so before the stream, with a status and problem+json (RFC 9457)
 *
 * Both say after how many ms the same can be asked again, where the server does.
 *
 * - unreachable: the request never got an answer; it may have arrived
 * - gone: the stream was cut and cannot be resumed any more
 *
 * @typedef {{state: "finished"}
 *   | {state: "failed", code: string, message: string, retryAfter?: number}
 *   | {state: "refused", code: string, message: string, retryAfter?: number, status: number}
 *   | {state: "unreachable"}
 *   | {state: "gone"}} Outcome
 */

/** @typedef {"open" | "reconnecting" | "offline" | "locked"} ConnectionState */

/**
 * After less than so many bytes, the next are left to gather for so many ms: to read each token by itself costs a browser
 * more than to show it, and nobody sees single frames. What was gathered comes in one piece.
 */
const FEW_BYTES = 4096;
const GATHER_MS = 30;

/** The longest time that an answer which runs is not asked for because the server says so, in ms. */
const LONGEST_PAUSE = 3_600_000;

const EVENT_STREAM = "text/event-stream";

/** Times in ms. `base` holds until the server sends `retry`; a stream that is silent for `silence` counts as cut. */
const TIMES = { base: 500, cap: 15_000, silence: 35_000 };

/**
 * Read one answer to its end and return how it ended.
 *
 * Without `id`, `body` is POSTed to `url`; with it, the answer is resumed after `lastEventId`. A stream that ends
 * neither with `[DONE]` nor with an error event was cut, and is resumed with GET `url`/id, for as long as it takes. A
 * POST is made again only when it cannot have arrived: when there was no network as it was made.
 *
 * Rejects with the signal's reason as soon as `signal` is aborted; no callback is called after that.
 *
 * @param {object} options
 * @param {string | URL} options.url
 * @param {object} [options.body]
 * @param {string} [options.id]
 * @param {string} [options.lastEventId]
 * @param {AbortSignal} options.signal
 * @param {() => void} [options.onRequest] called before each request, which an abort then prevents
 * @param {(id: string) => void} [options.onOpen] called when the answer's id is known
 * @param {(event: any, lastEventId: string) => void} options.onEvent called with each event's JSON and its id
 * @param {(state: ConnectionState, delayMs: number) => void} [options.onConnection] called when it changes; `delayMs`
 *   is the pause before the next attempt
 * @param {Partial<typeof TIMES>} [options.times]
 * @returns {Promise<Outcome>}
 */
export async function followAnswer(options) {
  const { url, body, signal, onEvent } = options;
  const times = { ...TIMES, ...options.times };
  const parser = new EventStreamParser(options.lastEventId);
  let id = options.id ?? "";
  let failures = 0;
  for (;;) {
    const resuming = id !== "";
    const connection = new Connection(signal, times.silence);
    const isOnline = navigator.onLine;
    let delay = 0;
    options.onRequest?.();
    try {
      const response = await connection.request(...(resuming ? resumeRequest(url, id, parser) : startRequest(url, body)));
      signal.throwIfAborted();
      const outcome = resuming ? judgeResume(response) : judgeStart(response, isOnline);
      if (outcome === "refused") return await readProblem(/** @type {Response} */ (response), signal);
      if (outcome === "read") {
        id ||= response?.headers.get("X-Generation-Id") ?? "";
        if (!resuming) options.onOpen?.(id);
        signal.throwIfAborted();
        options.onConnection?.("open", 0);
        for await (const chunk of connection.chunks(/** @type {Response} */ (response))) {
          for (const event of parser.feed(chunk)) {
            signal.throwIfAborted();
            failures = 0;
            const message = readMessage(event);
            if ("end" in message) return message.end;
            onEvent(message.json, event.lastEventId);
          }
        }
        signal.throwIfAborted();
        if (id === "") return { state: "gone" };
      } else if (outcome !== "again") {
        return { state: outcome };
      }
      parser.finish();
      const asked = retryAfter(response) ?? 0;
      const base = Math.max(parser.retry ?? times.base, asked > LONGEST_PAUSE ? 0 : asked);
      delay = backoff(failures, { base, cap: times.cap });
      failures += 1;
      options.onConnection?.(navigator.onLine ? "reconnecting" : "offline", delay);
    } finally {
      connection.hangUp();
    }
    await pause(delay, signal);
  }
}

/** One request and its response: it is hung up when the caller aborts, and when it is silent for too long. */
class Connection {
  #controller = new AbortController();
  #signal;
  #silence;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** When something was heard last, in ms of `performance.now()`. */
  #heardAt = 0;

  /**
   * @param {AbortSignal} signal
   * @param {number} silence in ms
   */
  constructor(signal, silence) {
    this.#signal = signal;
    this.#silence = silence;
  }

  /**
   * Return the response, or null when there was none. Rejects only when the caller aborted.
   *
   * @param {string | URL} url
   * @param {RequestInit} init
   */
  async request(url, init) {
    this.#listen();
    const signal = AbortSignal.any([this.#signal, this.#controller.signal]);
    try {
      return await fetch(url, { ...init, signal, cache: "no-store" });
    } catch (error) {
      this.#rethrowUnlessLost(error);
      return null;
    }
  }

  /**
   * Yield the body's chunks until it ends or is cut.
   *
   * @param {Response} response
   */
  async *chunks(response) {
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (;;) {
      this.#listen();
      let result;
      try {
        result = await reader.read();
      } catch (error) {
        this.#rethrowUnlessLost(error);
        return;
      }
      if (result.done) return;
      yield result.value;
      // A page that is not seen has slow timers, and no frames to save.
      if (result.value.length < FEW_BYTES && !document.hidden) await pause(GATHER_MS, this.#signal);
    }
  }

  hangUp() {
    clearTimeout(this.#timer);
    this.#controller.abort();
  }

  #listen() {
    this.#heardAt = performance.now();
    // One timer for all: to set one for each chunk costs more than to read the chunk.
    this.#timer ??= setTimeout(() => this.#checkSilence(), this.#silence);
  }

  #checkSilence() {
    const left = this.#heardAt + this.#silence - performance.now();
    this.#timer = left > 0 ? setTimeout(() => this.#checkSilence(), left) : undefined;
    if (left <= 0) this.#controller.abort();
  }

  /** @param {unknown} error */
  #rethrowUnlessLost(error) {
    this.#signal.throwIfAborted();
    // A lost connection is a TypeError (Fetch standard, "network error"); our own hanging up is an AbortError.
    const lost = error instanceof TypeError || (error instanceof DOMException && error.name === "AbortError");
    if (!lost) throw error;
  }
}

/**
 * @param {string | URL} url
 * @param {object | undefined} body
 * @returns {[string | URL, RequestInit]}
 */
function startRequest(url, body) {
  return [url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }];
}

/**
 * @param {string | URL} url
 * @param {string} id
 * @param {EventStreamParser} parser
 * @returns {[string | URL, RequestInit]}
 */
function resumeRequest(url, id, parser) {
  /** @type {Record<string, string>} */
  const headers = parser.lastEventId === "" ? {} : { "Last-Event-ID": parser.lastEventId };
  return [`${url}/${encodeURIComponent(id)}`, { headers }];
}

/**
 * @param {Response | null} response
 * @param {boolean} isOnline whether there was a network when it was asked for
 */
function judgeStart(response, isOnline) {
  if (!response || isCutHead(response)) return isOnline ? "unreachable" : "again";
  return response.ok && isEventStream(response) ? "read" : "refused";
}

/** @param {Response | null} response */
function judgeResume(response) {
  if (!response) return "again";
  if (response.status === 204) return "finished";
  if (response.status === 404) return "gone";
  if (response.status === 429 || response.status >= 500) return "again";
  if (!response.ok) return "refused";
  // A page of a proxy or of a hotel's network in the stream's place passes, as a cut does.
  return isEventStream(response) ? "read" : "again";
}

/** @param {Response} response */
function isEventStream(response) {
  return mediaType(response) === EVENT_STREAM;
}

/**
 * Whether a good answer's head was cut: over plain http, browsers hand out what there was of it.
 *
 * @param {Response} response
 */
function isCutHead(response) {
  return response.ok && !isEventStream(response) && EVENT_STREAM.startsWith(mediaType(response));
}

/** @param {Response} response */
function mediaType(response) {
  return (response.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/**
 * The server's `Retry-After` in ms, if there is one: seconds, or a date (RFC 9110, section 10.2.3).
 *
 * @param {Response | null} response
 */
function retryAfter(response) {
  const value = response?.headers.get("Retry-After") ?? "";
  const ms = /^[0-9]+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 && Number.isFinite(ms) ? ms : undefined;
}

/**
 * @param {ServerSentEvent} event
 * @returns {{end: Outcome} | {json: any}}
 */
function readMessage(event) {
  if (event.data === "[DONE]") return { end: { state: "finished" } };
  let json;
  try {
    json = JSON.parse(event.data);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const message = `The server sent an event that cannot be read (after ${event.lastEventId || "the start"}).`;
    return { end: { state: "failed", code: "bad_event", message } };
  }
  if (!json.error) return { json };
  const { code, message, retry_after: seconds } = json.error;
  return { end: { state: "failed", code, message, ...(seconds > 0 && { retryAfter: seconds * 1000 }) } };
}

/**
 * @param {Response} response
 * @param {AbortSignal} signal
 * @returns {Promise<Outcome>}
 */
async function readProblem(response, signal) {
  const { status } = response;
  const unexpected = `The server answered with something that is not a chat (status ${status}).`;
  let text = "";
  try {
    if (/\bjson\b/i.test(response.headers.get("Content-Type") ?? "")) text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    // It was cut, or silent for too long.
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
  }
  const problem = parseObject(text);
  /** @type {{field: string, message: string}[]} */
  const errors = Array.isArray(problem.errors) ? problem.errors : [];
  const detail = problem.detail ?? problem.title ?? unexpected;
  const fields = errors.filter((e) => e.message !== detail).map((e) => `${e.field}: ${e.message}`);
  const wait = retryAfter(response);
  return {
    ...{ state: "refused", status, code: problem.code ?? `http_${status}`, message: [detail, ...fields].join("\n") },
    ...(wait && { retryAfter: wait }),
  };
}

/**
 * @param {string} text
 * @returns {Record<string, any>} {} for anything but an object's JSON
 */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return {};
  }
}
