// A small line chart over time, drawn at the width it has, so that its text keeps its size on a telephone.

import { s } from "./dom.js";

const HEIGHT = 190;
const MARGIN = { top: 10, right: 8, bottom: 22, left: 40 };
const STEPS = [1, 2, 2.5, 5, 10];

/**
 * The chart as an SVG element. `series`: `[{name, tint, points: [{at, value, high}]}]`, `at` in seconds before now (negative or 0),
 * `value` null where nothing is known; `high`, if there, is the upper edge of a band. `label` says it all in words.
 */
export function lineChart({ series, width, spanS, label, format }) {
  const plot = { left: MARGIN.left, top: MARGIN.top, right: width - MARGIN.right, bottom: HEIGHT - MARGIN.bottom };
  const step = tickStep(highest(series), 4);
  const top = step * 4;
  const x = (at) => plot.right + (at / spanS) * (plot.right - plot.left);
  const y = (value) => plot.bottom - (Math.min(value, top) / top) * (plot.bottom - plot.top);
  return s(
    "svg",
    { class: "chart", role: "img", "aria-label": label, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` },
    [0, 1, 2, 3, 4].map((index) => rule(plot, y(index * step), format(index * step))),
    timeLabels(plot, x, spanS),
    idle(series) ? nothing(plot) : null,
    series.map((one) => lines(one, x, y)),
  );
}

/** The smallest 1, 2, 2.5 or 5 times a power of ten of which `count` reach `value`. */
export function tickStep(value, count) {
  const least = Math.max(value, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * STEPS.find((step) => power * step >= least * (1 - 1e-9));
}

function highest(series) {
  const values = series.flatMap(({ points }) => points.flatMap(({ value, high }) => [value ?? 0, high ?? 0]));
  return Math.max(0, ...values) || 1;
}

function idle(series) {
  return series.every(({ points }) => points.every(({ value }) => !value));
}

function nothing(plot) {
  const place = { x: (plot.left + plot.right) / 2, y: (plot.top + plot.bottom) / 2 - 10, "text-anchor": "middle" };
  return s("text", { class: "nothing", ...place }, "Nothing was asked in this time");
}

function rule(plot, y, text) {
  return s(
    "g",
    {},
    s("line", { class: "rule", x1: plot.left, x2: plot.right, y1: y, y2: y }),
    s("text", { x: plot.left - 7, y: y + 3.5, "text-anchor": "end" }, text),
  );
}

function timeLabels(plot, x, spanS) {
  const minutes = Math.round(spanS / 60);
  return Array.from({ length: minutes + 1 }, (_, index) => {
    const ago = minutes - index;
    const anchor = ago === 0 ? "end" : index === 0 ? "start" : "middle";
    return s("text", { x: x(-60 * ago), y: plot.bottom + 16, "text-anchor": anchor }, ago === 0 ? "now" : `−${ago} min`);
  });
}

function lines({ tint, points }, x, y) {
  return s("g", { class: tint }, runs(points).map((run) => [band(run, x, y), line(run, x, y), end(run, x, y)]).flat());
}

/** Points without a gap between them. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point.value === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length);
}

function line(run, x, y) {
  return run.length < 2 ? null : s("polyline", { class: "line", points: run.map((p) => `${x(p.at)},${y(p.value)}`).join(" ") });
}

function band(run, x, y) {
  if (run.length < 2 || run.some((point) => point.high === undefined)) return null;
  const above = run.map((p) => `${x(p.at)},${y(p.high)}`);
  const below = run.map((p) => `${x(p.at)},${y(p.value)}`).reverse();
  return s("polygon", { class: "band", points: [...above, ...below].join(" ") });
}

function end(run, x, y) {
  const last = run.at(-1);
  return s("circle", { class: "dot", cx: x(last.at), cy: y(last.value), r: 3 });
}

/** Every run as a dot on one axis from zero, one row a variant, its median as a tick. `rows`: `[{name, tint, values, middle}]`. */
export function dotPlot({ rows, width, label, format }) {
  const left = 46;
  const step = tickStep(Math.max(...rows.flatMap(({ values }) => values)), 4);
  const x = (value) => left + (value / (4 * step)) * (width - left - 14);
  const height = rows.length * 30 + 24;
  return s(
    "svg",
    { class: "chart", role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` },
    [0, 1, 2, 3, 4].map((index) =>
      s(
        "g",
        {},
        s("line", { class: "rule", x1: x(index * step), x2: x(index * step), y1: 4, y2: height - 20 }),
        s("text", { x: x(index * step), y: height - 5, "text-anchor": "middle" }, format(index * step)),
      ),
    ),
    rows.map((row, index) => dotRow(row, index * 30 + 18, x)),
  );
}

function dotRow({ name, tint, values, middle }, y, x) {
  return s(
    "g",
    { class: tint },
    s("text", { class: "name", x: 0, y: y + 4 }, name),
    values.map((value) => s("circle", { class: "sample", cx: x(value), cy: y, r: 4 })),
    s("line", { class: "median", x1: x(middle), x2: x(middle), y1: y - 9, y2: y + 9 }),
  );
}
