// What a card says of accuracy: metrics with intervals, other domains, agreement, kinds of examples. Older cards have the metrics alone.

import { h } from "./dom.js";
import { count, variantClass, variantName } from "./format.js";

const PARTITIONS = {
  length: "Length",
  negation: "Negation",
  label: "Expected label",
  question: "Question",
  answer: "Expected answer",
  context: "Context",
};

/** Rows `[name, cells]` of the card's table, one cell a variant. */
export function accuracyRows(entry, names) {
  const metrics = Object.keys(entry.card?.metrics?.[names[0]] ?? {});
  return [
    ...metrics.map((metric) => [title(metric), names.map((name) => metricCell(entry, name, metric))]),
    ...calibrationRow(entry, names),
    ...elsewhereRows(entry, names),
  ];
}

/** One sentence: how often int8 says what FP32 says, and how far it is off. Null when the card does not say. */
export function agreementLine(entry) {
  const found = figures(entry, "int8")?.against;
  if (!found) return null;
  const metric = mainMetric(entry);
  const { value, interval } = found.differences[metric];
  const same = found.agreement === null ? "" : `The same answer as FP32 on ${found.agreement.toFixed(2)} % of ${count(figures(entry, "int8").examples)} examples; `;
  const range = interval.map(signed).join(" to ");
  const level = entry.card.measured.bootstrap.level_percent;
  return h("p", { class: "soft small agreement" }, `${same}${signed(value)} points of ${plainName(metric)} (${range}). Ranges are ${level} % intervals.`);
}

/** The groups of the error analysis, closed at first. Null when the card has none. */
export function groupTable(entry) {
  const { metric, groups } = entry.card?.measured?.error_analysis ?? {};
  if (!groups?.length) return null;
  const names = ["int8", "fp32"];
  const head = h("tr", {}, h("td", {}), h("th", { scope: "col" }, "Examples"), names.map((name) => h("th", { scope: "col", class: variantClass(name) }, variantName(name))));
  const rows = groups.map((group) =>
    h("tr", {}, h("th", { scope: "row" }, `${PARTITIONS[group.by] ?? group.by}: ${group.name}`), h("td", {}, count(group.examples)), names.map((name) => h("td", {}, group[name].toFixed(2)))),
  );
  return h(
    "details",
    { class: "groups" },
    h("summary", {}, `${title(metric)} by kind of example`),
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Kinds of examples of ${entry.name}` }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows))),
  );
}

/** "exact_match" as "Exact match". */
function title(name) {
  const words = plainName(name);
  return words[0].toUpperCase() + words.slice(1);
}

function plainName(name) {
  return name === "f1" ? "F1" : name.replaceAll("_", " ");
}

/** With its sign, two digits. */
export function signed(value) {
  return (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);
}

function figures(entry, name) {
  return entry.card?.measured?.figures?.[name];
}

/** What groups and other domains are compared by: the first of the metrics unless the card names one. */
function mainMetric(entry) {
  return entry.card.measured.error_analysis?.metric ?? Object.keys(entry.card.metrics.int8)[0];
}

function metricCell(entry, name, metric) {
  const value = entry.card.metrics[name]?.[metric];
  return value === undefined ? "–" : withRange(value, figures(entry, name)?.intervals[metric]);
}

function withRange(value, interval) {
  if (!interval) return value.toFixed(2);
  return [value.toFixed(2), h("span", { class: "range" }, interval.map((end) => end.toFixed(2)).join(" – "))];
}

function calibrationRow(entry, names) {
  const errors = names.map((name) => figures(entry, name)?.calibration_error);
  return errors.every((error) => error === undefined) ? [] : [["Calibration error", errors.map((error) => error?.toFixed(2) ?? "–")]];
}

function elsewhereRows(entry, names) {
  const { files, together } = entry.card?.measured?.elsewhere ?? {};
  if (!files) return [];
  const metric = mainMetric(entry);
  const sets = [...Object.entries(files).map(([file, found]) => [file.split("/").at(-1), found]), ["all together", together]];
  return sets.map(([set, found]) => [
    `${title(metric)}, ${set}`,
    names.map((name) => (found[name] ? withRange(found[name].metrics[metric], found[name].intervals[metric]) : "–")),
  ]);
}
