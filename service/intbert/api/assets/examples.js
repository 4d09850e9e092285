// Texts to begin with.

export const CLASSIFY_EXAMPLES = [
  { name: "Praise", values: { text: "A gripping, beautifully acted film that earns every one of its tears.", pair: "" } },
  { name: "Regret", values: { text: "Two hours I will not get back.", pair: "" } },
  { name: "Mixed", values: { text: "The plot is thin, but the cast is so good that you hardly notice.", pair: "" } },
  { name: "Negation", values: { text: "Not bad at all, and never dull.", pair: "" } },
];

const BRIDGE =
  "The Forth Bridge is a cantilever railway bridge across the Firth of Forth in the east of Scotland, west of central " +
  "Edinburgh. It was designed by the English engineers Sir John Fowler and Sir Benjamin Baker. Construction began in 1882, " +
  "and the bridge was opened on 4 March 1890 by the Duke of Rothesay, the future Edward VII. It spans the Forth between the " +
  "villages of South Queensferry and North Queensferry and has a total length of 2,467 metres. When it opened it had the " +
  "longest single cantilever bridge span in the world, until 1919, when the Quebec Bridge in Canada was completed.";

const BREAD =
  "The bakery 🥐 on the corner opens at six. Its sourdough 🍞 rises for 24 hours before it is baked, and on Saturdays there " +
  "are also crêpes with crème fraîche. On Mondays it stays closed 🚪.";

export const QA_EXAMPLES = [
  { name: "Who?", values: { question: "Who designed the Forth Bridge?", context: BRIDGE } },
  { name: "When?", values: { question: "When was the bridge opened?", context: BRIDGE } },
  { name: "How long?", values: { question: "How long does the sourdough rise?", context: BREAD } },
  { name: "How far?", values: { question: "What is the total length of the bridge?", context: BRIDGE } },
];
