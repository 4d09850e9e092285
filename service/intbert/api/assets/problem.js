// A problem document, readable: what is wrong, where, what to do.

import { h } from "./dom.js";
import { count } from "./format.js";

const HINTS = {
  overloaded: "The server has as much to do as it accepts. Try again in a moment.",
  deadline_exceeded: "The answer took longer than allowed. Try again when there is less to do.",
  too_long: '"More options" can let its end be dropped.',
  loading: "The models are being loaded; this page goes on by itself.",
};

/** The alert for a Problem. `retry` is offered where another try can help. */
export function problemAlert(problem, retry) {
  const body = problem.body;
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("h3", {}, titled(problem)),
    h("p", { class: "detail" }, problem.message),
    HINTS[body.code] ? h("p", {}, HINTS[body.code]) : null,
    fields(body.errors),
    known(body.known),
    h("p", { class: "soft small" }, facts(problem).join(" · ")),
    retry && canRetry(problem) ? retryButton(body.retry_after_ms, retry) : null,
  );
}

function titled(problem) {
  const title = problem.body.title || "Error";
  return problem.status ? `${problem.status} ${title}` : title;
}

function facts(problem) {
  const { code, request_id: id, limit, length, tokens } = problem.body;
  const size = length ?? tokens;
  return [
    code ? `code ${code}` : null,
    size !== undefined && limit !== undefined ? `${count(size)} of at most ${count(limit)}` : null,
    id ? `request ${id}` : null,
  ].filter(Boolean);
}

function fields(errors) {
  if (!Array.isArray(errors) || errors.length < 2) return null; // one is already in the detail
  return h("ul", {}, errors.map((error) => h("li", {}, h("code", {}, error.field), ` ${error.message}`)));
}

function known(names) {
  return Array.isArray(names) && names.length ? h("p", {}, `Known: ${names.join(", ")}`) : null;
}

function canRetry(problem) {
  return problem.status === 0 || problem.status === 429 || problem.status >= 500;
}

/** Enabled once the server said that another try makes sense. */
function retryButton(afterMs, retry) {
  const button = h("button", { type: "button", class: "quiet", onclick: retry, disabled: afterMs > 0 }, "Try again");
  if (afterMs > 0) setTimeout(() => (button.disabled = false), Math.min(afterMs, 60_000));
  return button;
}
