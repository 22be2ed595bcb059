import { models } from "../js/models.js";

const MODEL = { takes: [], thinking: true, system: true, max_prompt_chars: 9000, context_tokens: null };

/**
 * Let the page hear of these models, each as far as it differs from a usual one; of none, that there is no such list.
 *
 * @param {...{id: string, [name: string]: unknown}} listed
 */
export async function serveModels(...listed) {
  const { fetch } = globalThis;
  const list = JSON.stringify({ models: listed.map((model) => ({ ...MODEL, name: model.id, ...model })) });
  globalThis.fetch = async () => (listed.length > 0 ? new Response(list) : new Response(null, { status: 404 }));
  models.list = [];
  await models.reload().finally(() => (globalThis.fetch = fetch));
}
