// Scrapes become points over time, by variant. Pure: time comes in as a value.

import { gained, histogram, labelValues, quantile, total } from "./prometheus.js";

const COMPUTE = "intbert_compute_duration_seconds";
const SEQUENCES = "intbert_batch_sequences";
export const SPAN_S = 180;
const WINDOW_S = 10;
const GAP_S = 15; // longer than this between two scrapes: the page was hidden, nothing is known

/** Keeps what the charts need of each scrape, for as long as they show. */
export function createHistory() {
  const scrapes = [];
  return {
    add(samples, atS) {
      scrapes.push({ atS, variants: readVariants(samples) });
      while (scrapes.length > 2 && atS - scrapes[1].atS > SPAN_S + WINDOW_S) scrapes.shift();
    },
    variants: () => (scrapes.length ? [...scrapes.at(-1).variants.keys()] : []),
    points: (variant, nowS) => scrapes.map((scrape, index) => point(scrapes, index, variant, nowS)).filter(Boolean),
  };
}

/** What the tiles say of one scrape. */
export function readNow(samples) {
  const compared = total(samples, "intbert_shadow_comparisons_total");
  const differing =
    total(samples, "intbert_shadow_label_disagreements_total") + total(samples, "intbert_shadow_span_disagreements_total");
  return {
    answered: total(samples, "intbert_requests_total", { code: "200" }),
    inflight: total(samples, "intbert_inflight_requests"),
    queueTokens: total(samples, "intbert_queue_tokens"),
    residentBytes: total(samples, "intbert_process_resident_memory_bytes"),
    compared,
    agreement: compared ? 1 - differing / compared : null,
    build: samples.get("intbert_build_info")?.[0]?.labels ?? {},
  };
}

function readVariants(samples) {
  const names = labelValues(samples, `${COMPUTE}_count`, "variant").sort(byImportance);
  return new Map(
    names.map((variant) => [
      variant,
      { compute: histogram(samples, COMPUTE, { variant }), sequences: total(samples, `${SEQUENCES}_sum`, { variant }) },
    ]),
  );
}

/** int8 first: it is what this service is for. */
function byImportance(left, right) {
  return Number(right === "int8") - Number(left === "int8") || left.localeCompare(right);
}

/** Rate and latency over the window that ends at scrape `index`; null for the first, and after a gap. */
function point(scrapes, index, variant, nowS) {
  const later = scrapes[index];
  const at = later.atS - nowS;
  const earlier = windowStart(scrapes, index);
  if (!earlier || at < -SPAN_S) return null;
  if (later.atS - scrapes[index - 1].atS > GAP_S) return { at, rate: null, medianS: null, highS: null };
  const [after, before] = [later.variants.get(variant), earlier.variants.get(variant)];
  if (!after) return null;
  const compute = gained(after.compute, before?.compute);
  const sequences = after.sequences - (before?.sequences ?? 0);
  return {
    at,
    rate: sequences >= 0 ? sequences / (later.atS - earlier.atS) : null, // negative: the server was started anew
    medianS: quantile(0.5, compute),
    highS: quantile(0.95, compute),
  };
}

function windowStart(scrapes, index) {
  let start = index - 1;
  while (start > 0 && scrapes[index].atS - scrapes[start].atS < WINDOW_S && scrapes[start].atS - scrapes[start - 1].atS <= GAP_S) {
    start -= 1;
  }
  return scrapes[start];
}
