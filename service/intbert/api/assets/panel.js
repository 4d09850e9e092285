// What both tasks' panels do: choose a model, ask once or many times, show the answer or the problem.

import { byId, copyButton, h } from "./dom.js";
import { Problem } from "./client.js";
import { problemAlert } from "./problem.js";
import { comparison, spoken } from "./results.js";

const RUNS = 20;

/**
 * `id` prefixes the panel's elements; `task` is the API's name; `read()` gives the request's own fields from the form;
 * `onKeyWanted(problem)` is told when the server asks for a key. Returns `{offer(models), run()}`.
 */
export function createPanel({ id, task, client, read, onKeyWanted }) {
  const form = byId(`${id}-form`);
  const output = byId(`${id}-output`);
  const button = form.querySelector("[type=submit]");
  const state = { models: [], asked: null, runs: [], busy: null };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  async function run() {
    const entry = chosen();
    const { parameters, ...asked } = read();
    const which = state.models.length > 1 ? { model: entry.name, version: entry.version } : {};
    state.asked = { body: { task, ...asked, parameters: { ...which, ...parameters } }, context: asked.context ?? null, entry };
    state.runs = [];
    await ask(1);
  }

  async function ask(times) {
    state.busy?.abort();
    const attempt = (state.busy = new AbortController());
    setBusy(true);
    try {
      for (let done = 0; done < times; done += 1) {
        const answer = await client.postJson("compare", state.asked.body, attempt.signal);
        state.runs.push(answer);
        progress(done + 1, times);
      }
      showAnswer();
    } catch (error) {
      if (error.name !== "AbortError") showProblem(error);
    } finally {
      if (state.busy === attempt) setBusy(false);
    }
  }

  function setBusy(busy) {
    output.setAttribute("aria-busy", String(busy));
    button.setAttribute("aria-disabled", String(busy));
    button.textContent = busy ? "Comparing …" : button.dataset.label;
    if (!busy) state.busy = null;
  }

  function progress(done, times) {
    const again = output.querySelector(".again");
    if (again && times > 1) again.textContent = `${done} of ${times} …`;
  }

  function showAnswer() {
    const { context, entry, body } = state.asked;
    const view = comparison(state.runs, { context, regression: entry?.problem_type === "regression" });
    const refocus = output.contains(document.activeElement);
    output.replaceChildren(view, h("div", { class: "after" }, againButton()), asCommand(body, client.hasKey()));
    if (refocus) output.querySelector(".again").focus();
    byId("said").textContent = spoken(state.runs.at(-1));
  }

  function againButton() {
    return h("button", { type: "button", class: "quiet again", onclick: () => ask(RUNS) }, `Run ${RUNS} times more`);
  }

  function showProblem(error) {
    if (!(error instanceof Problem)) throw error;
    byId("said").textContent = "";
    if (error.wantsKey) onKeyWanted(error);
    output.replaceChildren(problemAlert(error, run));
  }

  function chosen() {
    const select = byId(`${id}-model`);
    return state.models[Number(select.value)] ?? state.models[0];
  }

  function offer(models) {
    if (sameModels(models, state.models)) return;
    state.models = models;
    const select = byId(`${id}-model`);
    select.replaceChildren(...models.map((entry, index) => h("option", { value: index, selected: entry.default }, `${entry.name} ${entry.version}`)));
    byId(`${id}-model-row`).hidden = models.length < 2;
    form.hidden = models.length === 0;
    output.hidden = models.length === 0;
    byId(`${id}-none`).hidden = models.length > 0;
  }

  return { offer, run, form };
}

/** Fill `form` and ask, one button an example: `[{name, values: {field: text}}]`. */
export function exampleButtons(panel, holder, examples) {
  const fill = (values) => {
    for (const [name, value] of Object.entries(values)) panel.form.elements[name].value = value;
    panel.run();
  };
  holder.append(...examples.map(({ name, values }) => h("button", { type: "button", class: "chip", onclick: () => fill(values) }, name)));
}

function asCommand(body, keyed) {
  const url = new URL("compare", document.baseURI).href;
  const json = JSON.stringify(body, null, 1).replaceAll("'", "'\\''");
  const key = keyed ? ' -H "authorization: Bearer $INTBERT_KEY"' : "";
  const command = `curl -s ${url}${key} -H 'content-type: application/json' -d '${json}'`;
  return h(
    "details",
    {},
    h("summary", {}, "The same with curl"),
    h("div", { class: "command" }, h("pre", { tabindex: 0, "aria-label": "Command" }, command), copyButton(command, "the command")),
  );
}

function sameModels(left, right) {
  const key = (entries) => entries.map((entry) => `${entry.name}/${entry.version}/${entry.default}`).join();
  return left.length > 0 && key(left) === key(right);
}
