/**
 * The smallest test harness: `test` registers, `run` runs everything that a module registered, one after the other.
 */

/** Nothing is measured by it: it only ends what would never end. */
const LIMIT_S = 120;

/** @type {{name: string, body: () => unknown}[]} */
let registered = [];

/**
 * @param {string} name
 * @param {() => unknown} body may be async; fails by throwing
 */
export function test(name, body) {
  registered.push({ name, body });
}

/**
 * Return each test's name with null, or with what it threw.
 *
 * @param {string} module
 */
export async function run(module) {
  registered = [];
  await import(module);
  const results = [];
  for (const { name, body } of registered) {
    /** @type {string | null} */
    let failure = null;
    try {
      await withinSeconds(LIMIT_S, body());
    } catch (error) {
      failure = error instanceof Error ? `${error.message}\n${error.stack}` : String(error);
    }
    results.push({ name, failure });
  }
  return results;
}

/**
 * @param {unknown} actual
 * @param {unknown} expected JSON; compared by its text
 */
export function equal(actual, expected) {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`expected ${e?.slice(0, 2000)}, got ${a?.slice(0, 2000)}`);
}

/**
 * @param {unknown} condition
 * @param {string} [words]
 */
export function ok(condition, words = "not so") {
  if (!condition) throw new Error(words);
}

/**
 * Return what the promise rejected with.
 *
 * @param {Promise<unknown>} promise
 */
export async function rejection(promise) {
  const none = {};
  const reason = await promise.then(
    () => none,
    (error) => error,
  );
  ok(reason !== none, "expected a rejection");
  return reason;
}

/**
 * @param {number} seconds
 * @param {unknown} promise
 */
async function withinSeconds(seconds, promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
