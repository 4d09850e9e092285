// The live section: two charts and a row of figures, from /metrics, while somebody looks at them.

import { lineChart } from "./chart.js";
import { Problem } from "./client.js";
import { byId, h } from "./dom.js";
import { bytes, count, duration, percent, significant, variantClass, variantName } from "./format.js";
import { createHistory, readNow, SPAN_S } from "./history.js";
import { parse } from "./prometheus.js";

const PERIOD_MS = 2000;

/** Start to watch. `onScrape(now)` gets what was read, `onProblem(problem)` why there is nothing. */
export function watch(client, { onScrape, onProblem }) {
  const history = createHistory();
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const samples = parse(await client.getText("metrics"));
      const nowS = performance.now() / 1000;
      history.add(samples, nowS);
      const now = readNow(samples);
      showTiles(now);
      showCharts(history, nowS);
      onScrape(now);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      onProblem(problem);
    }
    clearTimeout(timer);
    timer = setTimeout(look, PERIOD_MS);
  }

  document.addEventListener("visibilitychange", look);
  new ResizeObserver(() => showCharts(history, performance.now() / 1000)).observe(byId("live"));
  look();
  return { look };
}

function showTiles(now) {
  const tiles = [
    ["answered", count(now.answered), "requests since the start"],
    ["in flight", count(now.inflight), "requests now"],
    ["queue", count(now.queueTokens), "tokens waiting"],
    ["memory", bytes(now.residentBytes), "resident, whole process"],
  ];
  if (now.agreement !== null) {
    tiles.push(["agreement", percent(now.agreement), `of ${count(now.compared)} shadow comparisons`]);
  }
  byId("tiles").replaceChildren(
    ...tiles.map(([name, value, note]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value), h("dd", { class: "soft small" }, note))),
  );
}

function showCharts(history, nowS) {
  const series = history.variants().map((variant, index) => ({ variant, index, points: history.points(variant, nowS) }));
  showChart("rate", series, (point) => ({ value: point.rate }), {
    what: "Sequences per second",
    words: (value) => `${significant(value)}/s`,
    format: axis,
  });
  showChart("latency", series, milliseconds, {
    what: "Compute time, median and 95th percentile",
    words: duration,
    format: (value) => axis(value),
  });
}

function milliseconds({ medianS, highS }) {
  return medianS === null ? { value: null } : { value: medianS * 1000, high: highS * 1000 };
}

function showChart(id, all, pick, { what, words, format }) {
  const series = all.map(({ variant, index, points }) => ({
    name: variantName(variant),
    tint: variantClass(variant, index),
    points: points.map((point) => ({ at: point.at, ...pick(point) })),
  }));
  const latest = series.map((one) => ({ ...one, last: one.points.at(-1)?.value ?? null }));
  const said = latest.map(({ name, last }) => `${name} ${last === null ? "nothing lately" : words(last)}`);
  const holder = byId(`chart-${id}`);
  const width = Math.floor(holder.clientWidth);
  if (width < 120) return;
  holder.replaceChildren(lineChart({ series, width, spanS: SPAN_S, format, label: `${what}, the last three minutes. Now: ${said.join(", ")}.` }));
  byId(`legend-${id}`).replaceChildren(
    ...latest.map(({ name, tint, last }) => h("li", { class: tint }, h("span", { class: "key" }), `${name} `, h("b", {}, last === null ? "–" : words(last)))),
  );
}

function axis(value) {
  return value >= 1000 ? `${significant(value / 1000)}k` : String(Number(value.toPrecision(3)));
}
