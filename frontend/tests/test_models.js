import { Models } from "../js/models.js";
import { equal, test } from "./harness.js";
import { scripted } from "./scripted_server.js";

const SMALL = {
  id: "small",
  takes: ["temperature"],
  thinking: false,
  system: true,
  max_prompt_chars: 1000,
  context_tokens: 512,
};
const LARGE = { ...SMALL, id: "large", takes: [], thinking: true, max_prompt_chars: 9000, context_tokens: null };

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
    { id: "small", takes: ["temperature"], thinking: false, system: true, maxChars: 1000, contextTokens: 512 },
    { id: "large", takes: [], thinking: true, system: true, maxChars: 9000, contextTokens: null },
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
  equal(models.named("large"), { id: "", takes: null, thinking: true, system: true, maxChars: 100_000, contextTokens: null });
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
