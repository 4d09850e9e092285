// Puts the page together.

import { createClient } from "./client.js";
import { byId, h } from "./dom.js";
import { CLASSIFY_EXAMPLES, QA_EXAMPLES } from "./examples.js";
import { engineName, plural } from "./format.js";
import { watch } from "./live.js";
import { headline, measuredOn, modelCard, saveReport } from "./models.js";
import { createPanel, exampleButtons } from "./panel.js";
import { problemAlert } from "./problem.js";
import { createLoader } from "./served.js";
import { createTabs } from "./tabs.js";

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
  served.load();
  live.look();
});

byId("model-list").addEventListener("click", (event) => {
  const link = event.target.closest("a.report");
  if (!link || !client.hasKey()) return;
  event.preventDefault();
  saveReport(client, link).catch(showNotice);
});

const served = createLoader(client, { onServed: showServed, onProblem: showNotice });
const live = watch(client, {
  onScrape: ({ build }) => {
    if (byId("status").dataset.kind === "away") served.load();
    byId("live-problem").replaceChildren();
    byId("version").textContent = build.version && build.version !== "unknown" ? `version ${build.version}` : "";
  },
  onProblem: (problem) => {
    if (problem.wantsKey) askForKey(problem);
    if (problem.status === 0) setStatus("away", "no answer");
    byId("live-problem").replaceChildren(h("p", { class: "soft" }, `No figures: ${problem.message}`));
  },
});
served.load();

function showSections(shown) {
  for (const id of ["try", "models"]) byId(id).hidden = !shown;
}

/** Shows why nothing is served; said again only when it is something else. */
function showNotice(problem) {
  showSections(false);
  if (problem.wantsKey) return askForKey(problem);
  if (problem.status) setStatus("failed", problem.body.code === "loading" ? "loading" : "not ready");
  else setStatus("away", "no answer");
  if (byId("notice").dataset.said === problem.message) return;
  byId("notice").dataset.said = problem.message;
  byId("notice").replaceChildren(problemAlert(problem));
}

function showServed(served, first) {
  setStatus("ready", "ready");
  delete byId("notice").dataset.said;
  byId("notice").replaceChildren();
  showSections(true);
  showModels(served, first);
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
