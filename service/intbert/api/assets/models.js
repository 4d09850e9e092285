// What is served: one card a package, from /models.

import { accuracyRows, agreementLine, groupTable, signed } from "./accuracy.js";
import { copyButton, h } from "./dom.js";
import { bytes, count, duration, kernelName, percent, significant, variantClass, variantName } from "./format.js";

const TASKS = { "text-classification": "text classification", "question-answering": "question answering" };

/** The card of one version of one model. */
export function modelCard(entry) {
  const names = variantNames(entry);
  return h(
    "article",
    { class: "card model", "aria-label": `${entry.name} version ${entry.version}` },
    heading(entry),
    entry.card?.notes ? h("p", {}, entry.card.notes) : null,
    h("p", { class: "soft small" }, facts(entry).join(" · ")),
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Figures of ${entry.name}` }, table(entry, names)),
    agreementLine(entry),
    groupTable(entry),
    proof(entry),
    hashes(entry, names),
  );
}

/** Speed, size and accuracy of int8 beside FP32 as the card has them: `[{value, what}]`, what is missing left out. */
export function headline(entry) {
  const found = [];
  const first = latencies(entry)[0];
  if (first) found.push({ value: `${significant(first.fp32 / first.int8)}×`, what: `as fast (${first.shape}, one thread)` });
  const { int8, fp32 } = entry.variants;
  if (int8 && fp32 && first) found.push({ value: percent(int8.bytes / fp32.bytes_at_fp32, 1), what: "of the weights' bytes" });
  const metric = first ? metrics(entry)[0] : undefined;
  if (metric) found.push({ value: signed(metric.int8 - metric.fp32), what: `points of ${metric.name}` });
  return found;
}

/** Which way a model's figures were measured, for the line below the headline. */
export function measuredOn(entry) {
  const latency = entry.card?.measured?.latency;
  return latency ? `${entry.name}, int8 against FP32 in ONNX Runtime, measured when it was built: ${latency.cpu}, ${kernelName(latency.kernels)}.` : "";
}

/** With a key, a report can't be opened as a link, which carries none: it is fetched with the key and saved. */
export async function saveReport(client, link) {
  const page = new Blob([await client.getText(link.getAttribute("href"))], { type: "text/html" });
  const address = URL.createObjectURL(page);
  h("a", { href: address, download: link.dataset.name }).click();
  URL.revokeObjectURL(address);
}

function variantNames(entry) {
  return Object.keys(entry.variants).sort((left, right) => Number(right === "int8") - Number(left === "int8"));
}

function heading(entry) {
  const report = `models/${encodeURIComponent(entry.name)}/report?version=${encodeURIComponent(entry.version)}`;
  return h(
    "header",
    {},
    h("h3", {}, entry.name, " ", h("span", { class: "soft" }, `version ${entry.version}`)),
    entry.default ? h("span", { class: "badge" }, "default") : null,
    h("a", { class: "report", href: report, "data-name": `${entry.name}-${entry.version}.html`, "aria-label": `Report of ${entry.name} version ${entry.version}` }, "Report"),
  );
}

function facts(entry) {
  const { layers, channels, heads } = entry.architecture ?? {};
  return [
    TASKS[entry.task] ?? entry.task,
    entry.labels?.length ? labelList(entry.labels) : null,
    layers ? `${layers} layers × ${channels} channels, ${heads} heads` : null,
    `up to ${count(entry.max_tokens)} tokens`,
  ].filter(Boolean);
}

function labelList(labels) {
  const shown = labels.slice(0, 6).join(", ");
  return labels.length > 6 ? `${shown} and ${labels.length - 6} more` : shown;
}

function table(entry, names) {
  const rows = [...accuracyRows(entry, names), ...sizeRows(entry, names), ...latencyRows(entry, names), ...memoryRows(entry, names)];
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, h("td", {}), names.map((name, index) => h("th", { scope: "col", class: variantClass(name, index) }, variantName(name))))),
    h("tbody", {}, rows.map(([name, values]) => h("tr", {}, h("th", { scope: "row" }, name), values.map((value) => h("td", {}, value))))),
  );
}

function sizeRows(entry, names) {
  const sizes = names.map((name) => bytes(name === "fp32" ? entry.variants[name].bytes_at_fp32 : entry.variants[name].bytes));
  return [["Weights", sizes]];
}

function latencyRows(entry, names) {
  return latencies(entry).map((row) => [`Latency, ${row.shape}`, names.map((name) => (row[name] === undefined ? "–" : duration(row[name])))]);
}

function memoryRows(entry, names) {
  const memory = entry.card?.measured?.memory;
  return memory ? [["Memory of a fresh process", names.map((name) => (memory[name] ? bytes(memory[name].after) : "–"))]] : [];
}

/** `[{shape, int8, fp32, ...}]`, median milliseconds; shapes without both are left out. */
function latencies(entry) {
  const shapes = new Map();
  for (const { variant, batch, tokens, median_ms: ms } of entry.card?.measured?.latency?.rows ?? []) {
    const shape = `${batch} × ${tokens} tokens`;
    shapes.set(shape, { ...shapes.get(shape), shape, [variant]: ms });
  }
  return [...shapes.values()].filter((row) => row.int8 && row.fp32);
}

function metrics(entry) {
  const { int8, fp32 } = entry.card?.metrics ?? {};
  return int8 && fp32 ? Object.keys(int8).map((name) => ({ name: name.replaceAll("_", " "), int8: int8[name], fp32: fp32[name] })) : [];
}

function proof(entry) {
  const found = entry.card?.measured?.verification;
  if (!found?.identical) return null;
  const many = Object.keys(found.implementations).length;
  return h("p", { class: "proof" }, `Same integers everywhere: the logits of ${count(found.texts)} texts have one SHA-256 in ${many} implementations.`);
}

function hashes(entry, names) {
  const rows = [["manifest", entry.sha256], ...names.map((name) => [entry.variants[name].file, entry.variants[name].sha256])];
  return h(
    "details",
    {},
    h("summary", {}, "SHA-256 of the files"),
    h("dl", { class: "hashes" }, rows.map(([name, hash]) => [h("dt", {}, name), h("dd", {}, h("code", {}, hash), copyButton(hash, `the hash of ${name}`))]).flat()),
  );
}
