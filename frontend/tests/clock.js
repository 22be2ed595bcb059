/**
 * Run a test whose time only it moves. What waits for a time or a frame is called once that has come, in order.
 *
 * @param {(pass: (ms: number) => void) => void} body not async; `pass` lets so much time go by
 */
export function withClock(body) {
  const { now } = Date;
  const { setTimeout, clearTimeout, requestAnimationFrame } = globalThis;
  let time = now();
  let last = 0;
  /** @type {Map<number, {at: number, callback: () => void}>} */
  const waiting = new Map();
  const wait = (/** @type {() => void} */ callback, ms = 0) => {
    waiting.set((last += 1), { at: time + ms, callback });
    return last;
  };
  const pass = (/** @type {number} */ ms) => {
    const end = time + ms;
    for (;;) {
      const due = [...waiting].filter(([, { at }]) => at <= end).sort(([, one], [, other]) => one.at - other.at);
      const [next] = due;
      if (!next) break;
      const [handle, { at, callback }] = next;
      waiting.delete(handle);
      time = at;
      callback();
    }
    time = end;
  };
  Object.assign(globalThis, {
    setTimeout: wait,
    clearTimeout: (/** @type {number} */ handle) => waiting.delete(handle),
    requestAnimationFrame: (/** @type {FrameRequestCallback} */ callback) => wait(() => callback(time), 1000 / 60),
  });
  Date.now = () => time;
  try {
    body(pass);
  } finally {
    Date.now = now;
    Object.assign(globalThis, { setTimeout, clearTimeout, requestAnimationFrame });
  }
}
