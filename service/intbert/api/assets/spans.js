// Where several answers lie in one text. Pure functions; offsets are UTF-16 units, those of JavaScript's strings.

/**
 * Cut `text` at the ends of all spans: `[{text, owners}]`, whose texts make up `text`.
 * A span is `{start, end, owner}`; `owners` are those of every span that covers the piece, empty between them.
 */
export function cutAtSpans(text, spans) {
  const real = spans.filter(({ start, end }) => start < end && start >= 0 && end <= text.length);
  const cuts = [...new Set([0, text.length, ...real.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, index) => {
    const start = cuts[index];
    const covering = real.filter((span) => span.start <= start && span.end >= end);
    return { text: text.slice(start, end), owners: covering.map((span) => span.owner) };
  });
}
