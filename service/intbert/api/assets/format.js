// Numbers and names as people read them.

const MIB = 2 ** 20;

/** Milliseconds with three significant digits, in seconds from one second on. */
export function duration(ms) {
  if (ms >= 1000) return `${significant(ms / 1000)} s`;
  return ms > 0 && ms < 0.01 ? "< 0.01 ms" : `${significant(ms)} ms`;
}

/** Bytes in KiB or MiB. */
export function bytes(count) {
  if (count < MIB) return `${significant(count / 1024)} KiB`;
  const mebibytes = count / MIB;
  return `${mebibytes < 100 ? mebibytes.toFixed(1) : mebibytes.toFixed(0)} MiB`;
}

/** A share of one as per cent. */
export function percent(share, digits = 2) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Three significant digits, never in exponents. */
export function significant(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}

/** 1234567 as 1 234 567, with narrow no-break spaces. */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "3 windows", "1 window". */
export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/** How a variant is called in text: FP32 is an abbreviation, int8 a type. */
export function variantName(variant) {
  return variant === "fp32" ? "FP32" : variant;
}

/** Class of a variant's colour: int8 and FP32 have theirs, others take what is left in turn. */
export function variantClass(variant, index = 2) {
  return { int8: "v-int8", fp32: "v-fp32" }[variant] ?? `v-other${index % 2}`;
}

/** "native:avx512_vnni" as "native kernels, AVX-512 VNNI". */
export function engineName(engine) {
  if (!engine) return "";
  if (engine === "onnxruntime") return "ONNX Runtime";
  const [kind, kernels] = engine.split(":");
  return kind === "native" && kernels ? `integer kernels, ${kernelName(kernels)}` : engine;
}

/** "avx512_vnni" as "AVX-512 VNNI". */
export function kernelName(kernels) {
  return kernels === "portable" ? kernels : kernels.toUpperCase().replace("AVX512", "AVX-512").replaceAll("_", " ");
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
