// Asks what is served, and goes on asking until the server is ready.

import { Problem } from "./client.js";

const AGAIN_MS = 1500;

/** `onServed(models, first)` gets the answer of /models, `onProblem(problem)` why there is none yet. */
export function createLoader(client, { onServed, onProblem }) {
  let timer = 0;
  let first = true;

  async function load() {
    clearTimeout(timer);
    try {
      onServed(await client.getJson("models"), first);
      first = false;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      onProblem(problem);
      clearTimeout(timer);
      if (!problem.wantsKey) timer = setTimeout(load, AGAIN_MS);
    }
  }

  return { load };
}
