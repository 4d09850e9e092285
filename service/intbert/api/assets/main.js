// Puts the page together.

import { createClient } from "./client.js";
import { byId, h } from "./dom.js";
import { CLASSIFY_EXAMPLES, QA_EXAMPLES } from "./examples.js";
import { engineName, plural } from "./format.js";
import { watch } from "./live.js";
import { headline, measuredOn, modelCard } from "./models.js";
import { createPanel, exampleButtons } from "./panel.js";
import { problemAlert } from "./problem.js";
import { createTabs } from "./tabs.js";

const AGAIN_MS = 1500;

const client = createClient();
const tabs = createTabs(byId("tabs"));
const classify = createPanel({ id: "classify", task: "text-classification", client, read: readClassify, onKeyWanted: askForKey });
const qa = createPanel({ id: "qa", task: "question-answering", client, read: readQuestion, onKeyWanted: askForKey });
exampleButtons(classify, byId("classify-examples"), CLASSIFY_EXAMPLES);
exampleButtons(qa, byId("qa-examples"), QA_EXAMPLES);

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  client.setKey(byId("key").value);
  byId("key").value = "";
  byId("key-row").hidden = true;
  load();
  live.look();
});

const live = watch(client, {
  onScrape: ({ build }) => {
    byId("live-problem").replaceChildren();
    byId("version").textContent = build.version && build.version !== "unknown" ? `version ${build.version}` : "";
  },
  onProblem: (problem) => {
    if (problem.wantsKey) askForKey(problem);
    byId("live-problem").replaceChildren(h("p", { class: "soft" }, `No figures: ${problem.message}`));
  },
});
load(true);

/** Show what is served, or why nothing is; goes on asking while the server is not ready. */
async function load(first = false) {
  try {
    const served = await client.getJson("models");
    setStatus("ready", "ready");
    byId("notice").replaceChildren();
    showModels(served, first);
  } catch (problem) {
    if (problem.wantsKey) return askForKey(problem);
    setStatus(problem.body?.state ?? "away", problem.status ? problem.body.state ?? "not ready" : "no answer");
    byId("notice").replaceChildren(problemAlert(problem));
    setTimeout(() => load(first), AGAIN_MS);
  }
}

function showModels({ models, machine }, first) {
  const [classifiers, readers] = ["text-classification", "question-answering"].map((task) => models.filter((entry) => entry.task === task));
  classify.offer(classifiers);
  qa.offer(readers);
  if (first && !classifiers.length && readers.length) tabs.choose(1);
  byId("model-list").replaceChildren(...models.map(modelCard));
  byId("machine").textContent = describeMachine(machine);
  showHeadline(classifiers.find((entry) => entry.default) ?? models[0]);
}

function showHeadline(entry) {
  const figures = entry ? headline(entry) : [];
  byId("headline").replaceChildren(...figures.map(({ value, what }) => h("div", {}, h("dt", {}, what), h("dd", {}, value))));
  byId("measured").textContent = figures.length ? measuredOn(entry) : "";
}

function describeMachine({ kernels, threads }) {
  const workers = `${plural(threads.workers, "worker")}, up to ${plural(threads.threads_alone, "thread")} for one request (${threads.reason})`;
  return `This server: ${engineName(`native:${kernels.active}`)}; ${workers}.`;
}

function setStatus(kind, text) {
  const pill = byId("status");
  pill.dataset.kind = kind;
  pill.textContent = text;
}

function askForKey(problem) {
  setStatus("locked", "key needed");
  byId("key-reason").textContent = problem.message;
  if (!byId("key-row").hidden) return;
  byId("key-row").hidden = false;
  byId("key").focus();
}

function readClassify() {
  const { text, pair, cut } = byId("classify-form").elements;
  const inputs = pair.value.trim() ? { text: text.value, text_pair: pair.value } : text.value;
  return { inputs, parameters: cut.checked ? { truncation: "truncate" } : {} };
}

function readQuestion() {
  const { question, context, top, impossible } = byId("qa-form").elements;
  const parameters = { top_k: Number(top.value), handle_impossible_answer: impossible.checked, offsets: "utf16" };
  return { question: question.value, context: context.value, parameters };
}
