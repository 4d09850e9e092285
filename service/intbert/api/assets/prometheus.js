// The text format of Prometheus, and what can be said between two scrapes. Pure functions.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

/** Samples by name: `Map<name, [{labels, value}]>`. Comments and what can't be read are left out. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = line.startsWith("#") ? null : LINE.exec(line.trim());
    if (!match) continue;
    const [, name, inside, value] = match;
    const samples = found.get(name) ?? [];
    samples.push({ labels: readLabels(inside ?? ""), value: readNumber(value) });
    found.set(name, samples);
  }
  return found;
}

/** Sum of the samples of `name` whose labels are among `wanted`'s; 0 without any. */
export function total(samples, name, wanted = {}) {
  return matching(samples, name, wanted).reduce((sum, sample) => sum + sample.value, 0);
}

/** Values of one label of `name`, without repetition, in their order. */
export function labelValues(samples, name, label) {
  return [...new Set((samples.get(name) ?? []).map((sample) => sample.labels[label]))];
}

/** A histogram as `{count, sum, buckets: [[bound, cumulative], ...]}`, added up over what `wanted` leaves open. */
export function histogram(samples, name, wanted = {}) {
  const buckets = new Map();
  for (const { labels, value } of matching(samples, `${name}_bucket`, wanted)) {
    const bound = readNumber(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return {
    count: total(samples, `${name}_count`, wanted),
    sum: total(samples, `${name}_sum`, wanted),
    buckets: [...buckets].sort(([left], [right]) => left - right),
  };
}

/** What a histogram gained since `earlier`. A server that was started anew counts from zero. */
export function gained(later, earlier) {
  if (!earlier || later.count < earlier.count) return later;
  const before = new Map(earlier.buckets);
  return {
    count: later.count - earlier.count,
    sum: later.sum - earlier.sum,
    buckets: later.buckets.map(([bound, value]) => [bound, value - (before.get(bound) ?? 0)]),
  };
}

/** The quantile 0 < q < 1 by linear interpolation within its bucket, as Prometheus does it; null without observations. */
export function quantile(q, { count, buckets }) {
  if (!count) return null;
  const rank = q * count;
  const index = buckets.findIndex(([, cumulative]) => cumulative >= rank);
  const [bound, cumulative] = buckets[index];
  const [lower, below] = index > 0 ? buckets[index - 1] : [0, 0];
  if (!Number.isFinite(bound)) return lower;
  return lower + ((bound - lower) * (rank - below)) / (cumulative - below);
}

function matching(samples, name, wanted) {
  const entries = Object.entries(wanted);
  return (samples.get(name) ?? []).filter(({ labels }) => entries.every(([label, value]) => labels[label] === value));
}

function readLabels(inside) {
  const labels = {};
  for (const [, name, value] of inside.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => ESCAPES[escaped] ?? `\\${escaped}`);
  }
  return labels;
}

function readNumber(text) {
  return { "+Inf": Infinity, "-Inf": -Infinity }[text] ?? Number(text);
}
