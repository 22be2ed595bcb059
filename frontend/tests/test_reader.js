import { backoff } from "../js/retry.js";
import { followAnswer } from "../js/sse.js";
import { equal, ok, rejection, test } from "./harness.js";
import { scripted } from "./scripted_server.js";

const ID = { "X-Generation-Id": "a1" };
const PROBLEM = { "Content-Type": "application/problem+json" };
const DONE = "data: [DONE]\n\n";
/** No test waits for the clock: a pause is either this short or never over. */
const SOON = { base: 1, cap: 1 };
const NEVER = { base: 1e9, cap: 1e9 };

/**
 * @param {number} id
 * @param {string} token
 */
function event(id, token) {
  return `id: ${id}\ndata: ${JSON.stringify({ token })}\n\n`;
}

/**
 * Cut the stream after an event, when the test has said by `release()` that it was read: a browser may forget what
 * arrived just before a cut.
 *
 * @param {string} text
 * @returns {import("./scripted_server.js").Reply}
 */
function cutAfter(text) {
  return { body: [text, "WAIT"], then: "cut" };
}

/**
 * Read an answer and note what is reported on the way.
 *
 * @param {string} url
 * @param {Partial<Parameters<typeof followAnswer>[0]>} [options]
 */
function follow(url, options = {}) {
  const seen = {
    text: "",
    /** @type {string[]} */ ids: [],
    /** @type {string[]} */ opened: [],
    /** @type {string[]} */ connections: [],
    /** @type {number[]} */ delays: [],
  };
  const outcome = followAnswer({
    url,
    body: { prompt: "hello" },
    signal: new AbortController().signal,
    times: SOON,
    ...options,
    onOpen: (id) => seen.opened.push(id),
    onEvent: (json, id) => {
      seen.text += json.token;
      seen.ids.push(id);
      options.onEvent?.(json, id);
    },
    onConnection: (connection, delay) => {
      seen.connections.push(connection);
      if (connection !== "open") seen.delays.push(delay);
      options.onConnection?.(connection, delay);
    },
  });
  return { outcome, seen };
}

/**
 * Answer the next requests at once, without a network that could be slow. Each body begins, and then is silent until it is
 * hung up.
 *
 * @param {[begun: string, init: ResponseInit][]} replies
 * @param {Parameters<typeof follow>[1]} options
 */
async function followSilent(replies, options) {
  const fetched = window.fetch;
  window.fetch = async (_, { signal } = {}) => {
    const [begun, init] = replies.shift() ?? ["", { status: 500 }];
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(begun));
        signal?.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(init.status === 204 ? null : body, init);
  };
  return await follow("/chat", options).outcome.finally(() => (window.fetch = fetched));
}

test("an answer is read to its end", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "Hello "), event(2, "you"), DONE] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal(seen, { text: "Hello you", ids: ["1", "2"], opened: ["a1"], connections: ["open"], delays: [] });
  const [request] = await server.requests();
  equal([request?.method, request?.path, request?.body], ["POST", "/chat", { prompt: "hello" }]);
});

test("what follows [DONE] is ignored", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a") + DONE + event(3, "b")] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal(seen.text, "a");
});

test("a reader that has everything hangs up", async () => {
  const server = await scripted({ headers: ID, body: [DONE], then: "hold" });
  const fetched = window.fetch;
  /** @type {AbortSignal | null | undefined} */
  let connection;
  window.fetch = (url, init) => {
    connection = init?.signal;
    return fetched(url, init);
  };
  await follow(server.url).outcome.finally(() => (window.fetch = fetched));
  equal(connection?.aborted, true);
  await server.until((requests) => requests[0]?.hungUp);
});

test("an answer that is cut in an event is resumed after the event before", async () => {
  const half = event(3, "three").slice(0, -9);
  const server = await scripted(
    { headers: ID, body: [event(1, "one ") + event(2, "two ") + half, "WAIT"], then: "cut" },
    { body: [event(3, "three"), DONE] },
  );
  const { outcome, seen } = follow(server.url, { onEvent: (_, id) => id === "2" && server.release() });
  equal(await outcome, { state: "finished" });
  equal(seen.text, "one two three");
  equal(seen.connections, ["open", "reconnecting", "open"]);
  const [, resumed] = await server.requests();
  equal([resumed?.method, resumed?.path, resumed?.lastEventId], ["GET", "/chat/a1", "2"]);
});

test("an answer whose connection is reset is resumed", async () => {
  const server = await scripted(
    { ...cutAfter(event(1, "one ")), headers: ID, then: "reset" },
    { body: [event(2, "two"), DONE] },
  );
  const { outcome, seen } = follow(server.url, { onEvent: () => server.release() });
  equal(await outcome, { state: "finished" });
  equal(seen.text, "one two");
});

test("a clean end without [DONE] is a cut", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "one ")] }, { body: [event(2, "two"), DONE] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal(seen.text, "one two");
});

test("every cut is mended, however many there are", async () => {
  const letters = [..."abcdefghij"];
  const cut = letters.map((letter, index) => cutAfter(event(index + 1, letter)));
  const server = await scripted({ ...cut[0], headers: ID }, ...cut.slice(1), { body: [DONE] });
  const { outcome, seen } = follow(server.url, { onEvent: server.release });
  equal(await outcome, { state: "finished" });
  equal(seen.text, "abcdefghij");
  equal(
    (await server.requests()).map((request) => request.lastEventId),
    [null, ..."123456789", "10"],
  );
});

test("a cut before the first event is resumed from the beginning", async () => {
  const server = await scripted({ headers: ID, then: "cut" }, { body: [event(1, "one"), DONE] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal([seen.text, (await server.requests())[1]?.lastEventId], ["one", null]);
});

test("a cut of an answer without an id cannot be mended", async () => {
  const server = await scripted({ then: "cut" });
  equal(await follow(server.url).outcome, { state: "gone" });
});

test("an answer of an earlier page is resumed where that page was", async () => {
  const server = await scripted({ body: [event(8, "rest"), DONE] });
  const { outcome, seen } = follow(server.url, { id: "b/2", lastEventId: "7" });
  equal(await outcome, { state: "finished" });
  equal([seen.text, seen.opened], ["rest", []]);
  const [request] = await server.requests();
  equal([request?.method, request?.path, request?.lastEventId], ["GET", "/chat/b%2F2", "7"]);
});

test("204 on resuming: everything was seen", async () => {
  const server = await scripted({ status: 204 });
  equal(await follow(server.url, { id: "a1", lastEventId: "9" }).outcome, { state: "finished" });
});

test("404 on resuming: gone", async () => {
  const server = await scripted({ headers: ID, ...cutAfter(event(1, "one")) }, { status: 404, headers: PROBLEM });
  const { outcome, seen } = follow(server.url, { onEvent: server.release });
  equal(await outcome, { state: "gone" });
  equal(seen.text, "one");
});

test("400 on resuming: refused, with the server's words", async () => {
  const problem = JSON.stringify({ title: "Bad Request", detail: "Beyond the end.", code: "position_beyond_end" });
  const server = await scripted({ status: 400, headers: PROBLEM, body: [problem] });
  const outcome = await follow(server.url, { id: "a1", lastEventId: "9" }).outcome;
  equal(outcome, { state: "refused", status: 400, code: "position_beyond_end", message: "Beyond the end." });
});

test("a problem before the first byte: refused, with what is wrong with each field", async () => {
  const errors = [
    { field: "prompt", message: "too long" },
    { field: "", message: "The request is not valid." },
  ];
  const problem = JSON.stringify({ detail: "The request is not valid.", code: "invalid_request", errors });
  const server = await scripted({ status: 422, headers: PROBLEM, body: [problem] });
  const message = "The request is not valid.\nprompt: too long";
  equal(await follow(server.url).outcome, { state: "refused", status: 422, code: "invalid_request", message });
});

test("a problem whose text does not come: refused, without it", async () => {
  const problem = /** @type {[string, ResponseInit]} */ (['{"code": ', { status: 503, headers: PROBLEM }]);
  const outcome = await followSilent([problem], { times: { ...SOON, silence: 50 } });
  equal([outcome.state, "code" in outcome && outcome.code], ["refused", "http_503"]);
});

for (const [status, type] of /** @type {const} */ ([
  [502, "text/html"],
  [200, "text/html"],
  [500, "application/json"],
])) {
  test(`${status} with ${type} that is no problem document: refused, and no event is read`, async () => {
    const server = await scripted({ status, headers: { "Content-Type": type }, body: [event(1, "no")] });
    const { outcome, seen } = follow(server.url);
    const message = `The server answered with something that is not a chat (status ${status}).`;
    equal(await outcome, { state: "refused", status, code: `http_${status}`, message });
    equal(seen.text, "");
  });
}

for (const type of ["", "text/ev"]) {
  test(`a good answer whose head was cut ("${type}"): unreachable, for what was asked may run`, async () => {
    const server = await scripted({ headers: { "Content-Type": type } });
    equal(await follow(server.url).outcome, { state: "unreachable" });
  });
}

test("the content type may be written in any case and with any charset; the text is UTF-8", async () => {
  const headers = { ...ID, "Content-Type": "Text/Event-Stream; charset=windows-1252" };
  const server = await scripted({ headers, body: [event(1, "é"), DONE] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal(seen.text, "é");
});

test("an error event: failed, and the text before it stays", async () => {
  const error = { code: "engine_lost", message: "The process is gone." };
  const server = await scripted({ headers: ID, body: [event(1, "one"), `data: ${JSON.stringify({ error })}\n\n`] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "failed", ...error });
  equal([seen.text, (await server.requests()).length], ["one", 1]);
});

test("an event that is not JSON: failed, named after the event", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "one"), "id: 2\ndata: {oops\n\n"] });
  const message = "The server sent an event that cannot be read (after 2).";
  equal(await follow(server.url).outcome, { state: "failed", code: "bad_event", message });
});

test("a server that does not answer: unreachable", async () => {
  // Many, because a browser tries again by itself on each connection that it had open.
  const server = await scripted(...Array.from({ length: 20 }, () => ({ silent: true, then: /** @type {const} */ ("reset") })));
  equal(await follow(server.url).outcome, { state: "unreachable" });
});

test("resuming goes on while the server is away", async () => {
  const server = await scripted(
    { headers: ID, ...cutAfter(event(1, "one ")) },
    { silent: true, then: "reset" },
    { status: 502, headers: { "Content-Type": "text/html" } },
    { status: 503, headers: PROBLEM },
    { headers: { "Content-Type": "text/html" }, body: ["Please log in to this network"] },
    { body: [event(2, "two"), DONE] },
  );
  const { outcome, seen } = follow(server.url, { onEvent: server.release });
  equal(await outcome, { state: "finished" });
  equal(seen.text, "one two");
});

test("the server's reconnection time is kept", async () => {
  const server = await scripted({ headers: ID, ...cutAfter("retry: 700\n" + event(1, "a")) }, { status: 204 });
  const { outcome, seen } = follow(server.url, { onEvent: server.release });
  await outcome;
  ok(Number(seen.delays[0]) >= 350 && Number(seen.delays[0]) <= 700, `waited ${seen.delays} ms`);
});

test("Retry-After is kept", async () => {
  const server = await scripted({ status: 503, headers: { ...PROBLEM, "Retry-After": "1" } }, { status: 204 });
  const { outcome, seen } = follow(server.url, { id: "a1" });
  await outcome;
  ok(Number(seen.delays[0]) >= 500 && Number(seen.delays[0]) <= 1000, `waited ${seen.delays} ms`);
});

test("what was refused for now can be asked again when the server says, in whatever form", async () => {
  const inAMinute = () => new Date(Date.now() + 60_000).toUTCString();
  /** @type {[() => string, number][]} */
  const cases = [[() => "7", 7000], [() => "90000", 90_000_000], [inAMinute, 60_000]];
  for (const [say, ms] of cases) {
    const value = say();
    const server = await scripted({ status: 429, headers: { ...PROBLEM, "Retry-After": value }, body: ['{"code": "rate_limited", "detail": "No."}'] });
    const { retryAfter, ...outcome } = /** @type {any} */ (await follow(server.url).outcome);
    equal(outcome, { state: "refused", status: 429, code: "rate_limited", message: "No." });
    ok(retryAfter > ms - 20_000 && retryAfter <= ms, `${value}: ${retryAfter}`);
  }
  for (const value of ["soon", "-1", "0", new Date(0).toUTCString()]) {
    const server = await scripted({ status: 429, headers: { ...PROBLEM, "Retry-After": value }, body: ['{"code": "x", "detail": "No."}'] });
    equal(await follow(server.url).outcome, { state: "refused", status: 429, code: "x", message: "No." });
  }
});

test("an error event says it as well", async () => {
  const error = { code: "upstream_busy", message: "Busy.", retry_after: 30 };
  const server = await scripted({ headers: ID, body: [`id: 1\ndata: ${JSON.stringify({ error })}\n\n`] });
  equal(await follow(server.url).outcome, { state: "failed", code: "upstream_busy", message: "Busy.", retryAfter: 30_000 });
});

test("a running answer is not left for as long as a server may say", async () => {
  const server = await scripted({ status: 503, headers: { ...PROBLEM, "Retry-After": "90000" } }, { status: 204 });
  const { outcome, seen } = follow(server.url, { id: "a1" });
  await outcome;
  ok(Number(seen.delays[0]) <= 500, `waited ${seen.delays} ms`);
});

test("pauses double up to the cap, and lose up to a half", () => {
  const times = { base: 500, cap: 15_000 };
  equal(
    [0, 1, 2, 5, 50].map((failures) => backoff(failures, times, 0)),
    [500, 1000, 2000, 15_000, 15_000],
  );
  equal(backoff(0, times, 0.999_999) > 250, true);
  equal(backoff(0, times, 0.5), 375);
  equal(backoff(3, { base: 60_000, cap: 15_000 }, 0), 60_000);
});

test("pauses grow while nothing comes, and start again after an event", async () => {
  const server = await scripted(
    { headers: ID, then: "cut" },
    { then: "cut" },
    { then: "cut" },
    cutAfter(event(1, "a")),
    { status: 204 },
  );
  const { outcome, seen } = follow(server.url, { times: { base: 16, cap: 1000 }, onEvent: server.release });
  await outcome;
  const [first, second, third, fourth] = seen.delays.map(Number);
  const within = (/** @type {number | undefined} */ ms, /** @type {number} */ most) => ms && ms > most / 2 && ms <= most;
  ok(within(first, 16) && within(second, 32) && within(third, 64) && within(fourth, 16), `waited ${seen.delays} ms`);
});

test("the network's return ends a pause", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a")], then: "cut" }, { status: 204 });
  const { outcome } = follow(server.url, {
    times: NEVER,
    onConnection: (connection) => {
      if (connection === "reconnecting") setTimeout(() => window.dispatchEvent(new Event("online")));
    },
  });
  equal(await outcome, { state: "finished" });
});

test("without a network the reader says so", async () => {
  Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
  try {
    const server = await scripted({ headers: ID, body: [event(1, "a")], then: "cut" }, { status: 204 });
    const { outcome, seen } = follow(server.url);
    await outcome;
    equal(seen.connections, ["open", "offline"]);
  } finally {
    Reflect.deleteProperty(navigator, "onLine");
  }
});

test("what was sent without a network is sent when there is one, for it cannot have arrived", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a"), DONE] });
  const fetched = window.fetch;
  window.fetch = async (...request) => {
    if (!navigator.onLine) throw new TypeError("Failed to fetch");
    return fetched(...request);
  };
  Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
  try {
    const { outcome, seen } = follow(server.url, {
      times: NEVER,
      onConnection: (connection) => {
        if (connection !== "offline") return;
        Reflect.deleteProperty(navigator, "onLine");
        setTimeout(() => window.dispatchEvent(new Event("online")));
      },
    });
    equal(await outcome, { state: "finished" });
    equal([seen.text, seen.connections, (await server.requests()).length], ["a", ["offline", "open"], 1]);
  } finally {
    Reflect.deleteProperty(navigator, "onLine");
    window.fetch = fetched;
  }
});

test("a network that was lost on the way may have taken the message along: it is not sent again", async () => {
  const fetched = window.fetch;
  window.fetch = async () => {
    Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
    throw new TypeError("Failed to fetch");
  };
  try {
    equal(await follow("/nowhere").outcome, { state: "unreachable" });
  } finally {
    Reflect.deleteProperty(navigator, "onLine");
    window.fetch = fetched;
  }
});

test("an abort ends connecting", async () => {
  const server = await scripted({ silent: true, then: "hold" });
  const controller = new AbortController();
  const { outcome, seen } = follow(server.url, { signal: controller.signal });
  await server.until((requests) => requests.length === 1);
  controller.abort();
  equal((await rejection(outcome)) === controller.signal.reason, true);
  await server.until((requests) => requests[0]?.hungUp);
  equal(seen.connections, []);
});

test("an abort ends reading, and the connection", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a")], then: "hold" });
  const controller = new AbortController();
  const { outcome, seen } = follow(server.url, {
    signal: controller.signal,
    onEvent: () => setTimeout(() => controller.abort()),
  });
  equal((await rejection(outcome)) === controller.signal.reason, true);
  await server.until((requests) => requests[0]?.hungUp);
  equal([seen.text, seen.connections], ["a", ["open"]]);
});

test("an abort ends a pause", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a")], then: "cut" });
  const controller = new AbortController();
  const { outcome } = follow(server.url, {
    signal: controller.signal,
    times: NEVER,
    onConnection: (connection) => {
      if (connection === "reconnecting") setTimeout(() => controller.abort());
    },
  });
  equal((await rejection(outcome)) === controller.signal.reason, true);
  equal((await server.requests()).length, 1);
});

test("an abort before the start sends nothing", async () => {
  const server = await scripted();
  const signal = AbortSignal.abort();
  equal((await rejection(follow(server.url, { signal }).outcome)) === signal.reason, true);
  equal((await server.requests()).length, 0);
});

test("after an abort no event is delivered, though it had arrived", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a") + event(2, "b") + DONE] });
  const controller = new AbortController();
  const { outcome, seen } = follow(server.url, { signal: controller.signal, onEvent: () => controller.abort() });
  await rejection(outcome);
  equal(seen.text, "a");
});

test("a fault in the caller's code is not taken for a cut", async () => {
  const server = await scripted({ headers: ID, body: [event(1, "a"), DONE] });
  const fault = new TypeError("undefined is not a function");
  const { outcome } = follow(server.url, {
    onEvent: () => {
      throw fault;
    },
  });
  equal((await rejection(outcome)) === fault, true);
  equal((await server.requests()).length, 1);
});

test("a character that is cut between two reads stays whole", async () => {
  const [head, tail] = [{ hex: "69643a20320a646174613a207b22746f6b656e223a22f09f" }, { hex: "9880227d0a0a" }];
  const server = await scripted({ headers: ID, body: [event(1, "a") + ": \n", head, "WAIT", tail, DONE] });
  const { outcome, seen } = follow(server.url, { onEvent: (_, id) => id === "1" && server.release() });
  equal(await outcome, { state: "finished" });
  equal(seen.text, "a😀");
});

test("a stream that is silent for too long counts as cut", async () => {
  const headers = { ...ID, "Content-Type": "text/event-stream" };
  /** @type {[string, ResponseInit][]} */
  const replies = [[event(1, "a"), { headers }], ["", { status: 204 }]];
  equal(await followSilent(replies, { times: { ...SOON, silence: 50 } }), { state: "finished" });
  equal(replies, []);
});

test("10,000 events of one write arrive, in order", async () => {
  const ids = Array.from({ length: 10_000 }, (_, index) => index + 1);
  const server = await scripted({ headers: ID, body: [ids.map((id) => event(id, "x")).join("") + DONE] });
  const { outcome, seen } = follow(server.url);
  equal(await outcome, { state: "finished" });
  equal(seen.ids, ids.map(String));
});

test("after a few bytes the next are left to gather, and after many they are read at once", async () => {
  const pieces = [event(1, "a"), event(2, "b".repeat(5000)), event(3, "c") + DONE];
  /** @type {number[]} */
  const readAt = [];
  const body = new ReadableStream(
    {
      pull(controller) {
        readAt.push(performance.now());
        controller.enqueue(new TextEncoder().encode(pieces[readAt.length - 1]));
      },
    },
    { highWaterMark: 0 },
  );
  const fetched = window.fetch;
  window.fetch = async () => new Response(body, { headers: { ...ID, "Content-Type": "text/event-stream" } });
  /** @type {string[]} */
  const order = [];
  const { outcome } = follow("/chat", {
    onEvent: (_, id) => {
      order.push(id);
      if (id === "2") setTimeout(() => order.push("a turn later"));
    },
  });
  equal(await outcome.finally(() => (window.fetch = fetched)), { state: "finished" });
  const [first = 0, second = 0] = readAt;
  ok(second - first >= 25, `read again after ${second - first} ms`);
  equal(order, ["1", "2", "3"]);
});
