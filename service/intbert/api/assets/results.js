// A comparison: the verdict, the variants side by side, and for a question its text with the answers marked.

import { dotPlot } from "./chart.js";
import { h } from "./dom.js";
import { duration, median, percent, plural, significant, variantClass, variantName } from "./format.js";
import { cutAtSpans } from "./spans.js";
import { totalMs, variantCard } from "./variant.js";

const DIGEST = "The digest is the SHA-256 of the int32 logits: equal digests mean equal bits, on any CPU, in any batch.";

/** The whole result. `runs`: /compare answers to one and the same input, oldest first; `context` of a question. */
export function comparison(runs, { context = null, regression = false } = {}) {
  const latest = runs.at(-1);
  const longestMs = Math.max(...latest.variants.map((_, index) => totalMs(runs, index)));
  const text = context === null ? null : contextView(latest, context);
  const cards = latest.variants.map((_, index) => variantCard(runs, index, { regression, longestMs, onSpan: (span) => text?.show(span) }));
  return h(
    "div",
    { class: "comparison" },
    verdict(runs),
    h("div", { class: "variants" }, cards),
    text?.element,
    runs.length > 1 ? samples(runs) : null,
    h("p", { class: "soft small" }, usage(latest)),
    latest.variants.some(({ digests }) => digests) ? h("p", { class: "soft small" }, DIGEST) : null,
  );
}

/** The result in one sentence, for those who hear it. */
export function spoken(answer) {
  const said = answer.variants.map(({ variant, results, timings }) => {
    const best = results[0][0];
    const what = best ? (best.label ?? (best.answer || "no answer")) : "no answer";
    return `${variantName(variant)}: ${what}${best ? `, ${percent(best.score, 1)}` : ""}, ${duration(timings.compute_ms)}`;
  });
  return `${said.join("; ")}.`;
}

function verdict(runs) {
  const latest = runs.at(-1);
  const agreement = latest.agreement[0];
  if (!agreement) return null;
  const agrees = agreement.agreeing === agreement.inputs;
  const facts = [speed(runs), size(latest), ["logits within ", h("b", {}, significant(agreement.logit_abs_diff_max))]];
  return h(
    "div",
    { class: `verdict ${agrees ? "same" : "different"}` },
    h("p", { class: "headline" }, h("span", { class: "sign", "aria-hidden": "true" }, agrees ? "=" : "≠"), agrees ? "Same answer" : "Different answers"),
    h("ul", {}, facts.filter(Boolean).map((fact) => h("li", {}, fact))),
  );
}

/** Of the first two variants, whichever computed faster. */
function speed(runs) {
  const [first, second] = runs.at(-1).variants;
  const [own, other] = [0, 1].map((index) => median(runs.map((run) => run.variants[index].timings.compute_ms)));
  if (!(own > 0 && other > 0)) return null;
  const faster = own <= other ? first : second;
  return [h("b", {}, `${significant(Math.max(own, other) / Math.min(own, other))}×`), ` as fast with ${variantName(faster.variant)}`, runs.length > 1 ? "" : ", in this run"];
}

function size({ variants: [first, second] }) {
  const [own, other] = [first, second].map(({ memory }) => memory.weights_bytes + memory.arena_bytes);
  if (!(own > 0 && other > 0)) return null;
  const [less, more, name] = own <= other ? [own, other, first.variant] : [other, own, second.variant];
  return [h("b", {}, percent(less / more, 0)), ` of the memory with ${variantName(name)}`];
}

function usage({ usage: [used], model }) {
  const parts = [`${model.name} version ${model.version}`, plural(used.tokens, "token"), used.windows > 1 ? plural(used.windows, "window") : null];
  if (used.truncated) parts.push(`${plural(used.tokens_dropped, "token")} dropped`);
  return parts.filter(Boolean).join(" · ");
}

function samples(runs) {
  const rows = runs[0].variants.map(({ variant }, index) => {
    const values = runs.map((run) => run.variants[index].timings.compute_ms);
    return { name: variantName(variant), tint: variantClass(variant, index), values, middle: median(values) };
  });
  const said = rows.map(({ name, middle }) => `${name} median ${duration(middle)}`).join(", ");
  const label = `Compute time of ${runs.length} runs: ${said}.`;
  const figure = h("figure", { class: "samples" }, h("figcaption", {}, `Compute time of ${runs.length} runs, ms`));
  const draw = () => {
    const width = Math.floor(figure.clientWidth);
    if (width < 120) return;
    const plot = dotPlot({ rows, width, label, format: (value) => String(Number(value.toPrecision(3))) });
    figure.replaceChildren(figure.firstChild, plot);
  };
  new ResizeObserver(draw).observe(figure);
  return figure;
}

/** The context with each variant's best answer marked; `show(span)` marks another one and brings it into view. */
function contextView(answer, context) {
  const best = answer.variants.map(({ variant, results }, index) => ({ ...results[0][0], owner: variantClass(variant, index), name: variantName(variant) }));
  const box = h("div", { class: "context", tabindex: 0, role: "region", "aria-label": "The text with the answers marked" });
  const paint = (picked) => box.replaceChildren(...marked(context, picked ? [...best, { ...picked, owner: "picked", name: "picked" }] : best));
  paint(null);
  const show = (span) => {
    paint(span);
    reveal(box, box.querySelector(".picked"));
    box.scrollIntoView({ block: "nearest" });
  };
  requestAnimationFrame(() => reveal(box, box.querySelector("mark")));
  return { show, element: h("section", { class: "context-view" }, legend(best), box) };
}

function marked(context, spans) {
  const names = new Map(spans.map(({ owner, name }) => [owner, name]));
  return cutAtSpans(context, spans).map(({ text, owners }) =>
    owners.length ? h("mark", { class: owners.join(" "), title: owners.map((owner) => names.get(owner)).join(", ") }, text) : text,
  );
}

/** Scrolls the box alone, never the page. */
function reveal(box, mark) {
  if (mark) box.scrollTop = mark.offsetTop - box.clientHeight / 2;
}

function legend(best) {
  const items = best.filter(({ start, end }) => start < end);
  return h("ul", { class: "legend" }, items.map(({ owner, name }) => h("li", { class: owner }, h("span", { class: "key" }), `answer of ${name}`)));
}
