import { whenLocked } from "../js/api.js";
import { Models } from "../js/models.js";
import { equal, ok, test } from "./harness.js";
import { scripted } from "./scripted_server.js";

const SMALL = {
  id: "small",
  name: "Small one",
  takes: ["temperature"],
  thinking: false,
  system: true,
  max_prompt_chars: 1000,
  context_tokens: 512,
};
const LARGE = { ...SMALL, id: "large", name: "", takes: [], thinking: true, max_prompt_chars: 9000, context_tokens: null };

/** @param {...unknown} models */
function listing(...models) {
  return { headers: { "Content-Type": "application/json" }, body: [JSON.stringify({ models })] };
}

/** @param {...import("./scripted_server.js").Reply} replies */
async function served(...replies) {
  const server = await scripted(...replies);
  return { models: new Models(server.url), asked: async () => (await server.requests()).length };
}

test("the list is asked for when it is wanted, and once", async () => {
  const { models, asked } = await served(listing(SMALL, LARGE));
  equal(await asked(), 0);
  await Promise.all([models.load(), models.load()]);
  await models.load();
  equal(await asked(), 1);
  equal(models.list, [
    { id: "small", name: "Small one", takes: ["temperature"], thinking: false, system: true, maxChars: 1000, contextTokens: 512 },
    { id: "large", name: "large", takes: [], thinking: true, system: true, maxChars: 9000, contextTokens: null },
  ]);
});

test("the first one is the server's own choice, also in the place of one that is not served any more", async () => {
  const { models } = await served(listing(SMALL, LARGE));
  equal([models.named("large").id, models.served("large")], ["", "large"]);
  await models.load();
  const asked = [null, "small", "large", "gone"].map((id) => [models.named(id).id, models.served(id)]);
  equal(asked, [["small", null], ["small", "small"], ["large", "large"], ["small", null]]);
});

test("a server that has no list has one model, which takes everything", async () => {
  const { models, asked } = await served({ status: 404 });
  await models.load();
  await models.load();
  equal(await asked(), 1);
  equal(models.named("large"), { id: "", name: "", takes: null, thinking: true, system: true, maxChars: 100_000, contextTokens: null });
  equal(models.served("large"), null);
});

test("a list that did not arrive is asked for again", async () => {
  const notJson = { body: ["<!doctype html>"] };
  const { models, asked } = await served({ status: 503 }, { body: ['{"models": ['], then: "cut" }, notJson, listing(SMALL));
  for (let count = 1; count <= 3; count += 1) {
    await models.load();
    equal([await asked(), models.list.length], [count, 0]);
  }
  await models.load();
  equal(models.named(null).id, "small");
});

test("what a server knows only once it has loaded its model is asked for again", async () => {
  const unloaded = { ...SMALL, takes: null, thinking: null, system: null, context_tokens: null };
  const { models, asked } = await served(listing(unloaded), listing(SMALL));
  await models.load();
  const { takes, thinking, system } = models.named(null);
  equal([takes, thinking, system, models.served("gone")], [null, true, true, null]);
  await models.load();
  await models.load();
  equal([models.named(null).takes, await asked()], [["temperature"], 2]);
});

test("it is asked until all is known, and what is told is told on", async () => {
  const unloaded = { ...SMALL, takes: null };
  const { models, asked } = await served({ status: 503 }, listing(unloaded), listing(SMALL));
  /** @type {unknown[]} */
  const told = [];
  const following = models.follow(() => told.push(models.named(null).takes));
  // Who comes back to the page does not wait for the next time.
  const waking = setInterval(() => window.dispatchEvent(new Event("online")), 5);
  await following;
  clearInterval(waking);
  equal([told, await asked()], [[null, ["temperature"]], 3]);
});

test("where it is behind a key, it is asked for again when that was given, and meanwhile waits for nobody", async () => {
  const { models, asked } = await served({ status: 401 }, { status: 401 }, listing(SMALL));
  /** @type {(() => void)[]} */
  const opening = [];
  whenLocked(({ askedAt }) => {
    ok(Math.abs(Date.now() - askedAt) < 10_000);
    return new Promise((resolve) => opening.push(resolve));
  });
  const following = models.follow(() => {});
  while (opening.length === 0) await new Promise((resolve) => setTimeout(resolve));
  await models.load();
  equal([models.named(null).id, await asked()], ["", 2]);
  opening[0]?.();
  await following;
  equal([models.named(null).id, await asked(), opening.length], ["small", 3, 1]);
});

test("what has changed is asked for anew", async () => {
  const { models, asked } = await served(listing(SMALL, LARGE), listing(LARGE));
  let told = 0;
  await models.follow(() => (told += 1));
  await models.load();
  await models.reload();
  equal([models.served("small"), models.named("small").id, told, await asked()], [null, "large", 2, 2]);
});

test("what was asked for before it changed does not count", async () => {
  const { models, asked } = await served(listing(SMALL, LARGE), listing(LARGE));
  await Promise.all([models.load(), models.reload()]);
  equal([models.named(null).id, await asked()], ["large", 2]);
});

test("what is not served any more is called by its id", async () => {
  const { models } = await served(listing(SMALL));
  ok(models.nameOf("small") === "small");
  await models.load();
  equal(["small", "old\u202e"].map((id) => models.nameOf(id)), ["Small one", "old"]);
});
