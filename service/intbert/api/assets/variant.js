// One variant's answer as a card: what it says, how long it took, what it holds in memory, which bits it computed.

import { copyButton, h } from "./dom.js";
import { bytes, duration, engineName, median, percent, significant, variantClass, variantName } from "./format.js";

const STAGES = ["tokenize", "queue", "compute", "post"];
const LABELS_SHOWN = 8;

/** Of a /compare answer to one input: variant `index`. `runs` are all answers so far, the last the newest. */
export function variantCard(runs, index, { regression, longestMs, onSpan }) {
  const variant = runs.at(-1).variants[index];
  const spans = runs.at(-1).task === "question-answering";
  const name = variantName(variant.variant);
  return h(
    "article",
    { class: `card variant ${variantClass(variant.variant, index)}`, "aria-label": `Answer of ${name}` },
    h("header", {}, h("h3", {}, name), h("span", { class: "soft small" }, engineName(variant.engine))),
    spans ? answers(variant.results[0], onSpan) : labels(variant.results[0], regression),
    timing(runs, index, longestMs),
    memory(variant.memory),
    digest(runs, index),
  );
}

/** Median milliseconds of every stage over all runs. */
export function stageTimes(runs, index) {
  return Object.fromEntries(STAGES.map((stage) => [stage, median(runs.map((run) => run.variants[index].timings[`${stage}_ms`]))]));
}

/** The sum of the stages. */
export function totalMs(runs, index) {
  return Object.values(stageTimes(runs, index)).reduce((sum, value) => sum + value, 0);
}

function labels(found, regression) {
  const rows = found.slice(0, LABELS_SHOWN).map(({ label, score }, rank) => labelRow(label, score, rank, regression));
  const hidden = found.length - rows.length;
  return h("div", {}, h("ol", { class: "labels" }, rows), hidden > 0 ? h("p", { class: "soft small" }, `and ${hidden} more labels`) : null);
}

function labelRow(label, score, rank, regression) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", { class: "fill" }));
  bar.firstChild.style.width = `${100 * Math.max(0, Math.min(1, score))}%`;
  const value = regression ? significant(score) : percent(score);
  return h("li", { class: rank === 0 ? "best" : null }, h("span", { class: "label" }, label), h("span", { class: "score" }, value), regression ? null : bar);
}

function answers(found, onSpan) {
  if (!found.length) return h("p", { class: "soft" }, "No admissible answer.");
  return h(
    "ol",
    { class: "answers" },
    found.map((span, rank) =>
      h(
        "li",
        { class: rank === 0 ? "best" : null },
        span.start < span.end
          ? h("button", { type: "button", class: "answer", onclick: () => onSpan(span), "aria-label": `Show in the text: ${span.answer}` }, span.answer)
          : h("span", { class: "answer none" }, "no answer in this text"),
        h("span", { class: "score" }, percent(span.score)),
      ),
    ),
  );
}

function timing(runs, index, longestMs) {
  const times = stageTimes(runs, index);
  const whole = totalMs(runs, index);
  const bar = h("div", { class: "stages", "aria-hidden": "true" }, STAGES.map((stage) => segment(stage, times[stage] / longestMs)));
  return h(
    "div",
    { class: "timing" },
    h("p", { class: "figure" }, h("strong", {}, duration(times.compute)), h("span", {}, " compute")),
    runs.length > 1 ? h("p", { class: "soft small" }, `all times are medians of ${runs.length} runs`) : null,
    bar,
    h(
      "ul",
      { class: "legend stage-legend" },
      STAGES.map((stage) => h("li", {}, h("span", { class: `key s-${stage}` }), `${stage} ${duration(times[stage])}`)),
      h("li", {}, `all ${duration(whole)}`),
    ),
  );
}

function segment(stage, share) {
  const element = h("span", { class: `s-${stage}` });
  element.style.width = `${100 * Math.min(1, share)}%`;
  return element;
}

function memory({ weights_bytes: weights, arena_bytes: arena }) {
  return h("p", { class: "fact" }, h("span", { class: "soft" }, "Memory "), `${bytes(weights)} + ${bytes(arena)} buffers`);
}

function digest(runs, index) {
  const found = runs.map((run) => run.variants[index].digests?.[0]);
  const last = found.at(-1);
  if (!last) return h("p", { class: "fact soft" }, "No digest: rounding of floats depends on CPU, batch and threads");
  const same = found.filter((one) => one === last).length;
  return h(
    "p",
    { class: "fact digest" },
    h("span", { class: "soft" }, "Digest "),
    h("code", { title: `SHA-256 of the int32 logits: ${last}` }, `${last.slice(0, 12)}…`),
    copyButton(last, "the digest"),
    runs.length > 1 ? h("span", { class: "soft" }, ` the same in ${same} of ${runs.length} runs`) : null,
  );
}
