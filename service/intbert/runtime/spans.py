"""Span search over the windows of one document: one softmax over the admissible spans of all windows.

A softmax for each window makes scores incomparable: a window without the answer still gives its best span a high
score. Here every admissible (start, end) pair of the document is one outcome of one distribution. A pair that two
windows see is counted once, in the window where it has the most context on its poorer side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.runtime.windows import Window

Logits = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Document tokens start..end (both included) and the span's probability."""

    start_token: int
    end_token: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class SpanSearch:
    """The best spans, best first, and the probability of 'no answer' (0 unless asked for)."""

    spans: tuple[Span, ...]
    null_probability: float


def find_spans(
    windows: Sequence[Window],
    logits: Sequence[Logits],
    *,
    logit_scale: float,
    answer_tokens_max: int,
    top_k: int,
    with_null: bool = False,
    null_offset: float = 0.0,
) -> SpanSearch:
    """Rank the spans of a document.

    logits: one (tokens, 2) array a window, start and end, integer or float; logit_scale: real value of one unit.
    Ranking is by exact sums, ties by the earlier and then the shorter span, so integer logits give one order
    everywhere. With `with_null` the null outcome joins the distribution, at its `null_score` plus `null_offset`.
    """
    starts, ends, scores = document_spans(windows, logits, answer_tokens_max)
    real = scores.astype(np.float64) * logit_scale
    null = null_score(logits) * logit_scale + null_offset if with_null else -np.inf
    peak = max(float(real.max()), null)
    total = float(np.exp(real - peak).sum() + np.exp(null - peak))
    order = np.lexsort((ends, starts, -scores))[:top_k]
    spans = tuple(
        Span(
            start_token=int(starts[index]),
            end_token=int(ends[index]),
            probability=float(np.exp(real[index] - peak)) / total,
        )
        for index in order
    )
    return SpanSearch(spans=spans, null_probability=float(np.exp(null - peak)) / total)


def null_score(logits: Sequence[Logits]) -> float:
    """Of 'no answer', in units of the logits: the first token as start and end, the lowest over the windows."""
    return min(float(window_logits[0].sum()) for window_logits in logits)


def document_spans(
    windows: Sequence[Window], logits: Sequence[Logits], answer_tokens_max: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Logits]:
    """First and last document token and score (in units of the logits) of every admissible span, each once."""
    parts = [
        _window_spans(windows, index, logits[index], answer_tokens_max)
        for index, window in enumerate(windows)
        if window.context_end > window.context_start
    ]
    if not parts:
        raise ValueError("the context has no tokens")
    starts, ends, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return starts, ends, scores


def _window_spans(
    windows: Sequence[Window], index: int, logits: Logits, answer_tokens_max: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Logits]:
    """The spans that window `index` owns."""
    window = windows[index]
    length = window.context_end - window.context_start
    context = logits[window.context_position : window.context_position + length]
    if context.dtype.kind == "i":
        context = context.astype(np.int64)
    start, size = np.meshgrid(np.arange(length), np.arange(min(answer_tokens_max, length)), indexing="ij")
    inside = start + size < length
    start, end = start[inside], (start + size)[inside]
    scores = context[start, 0] + context[end, 1]
    start, end = start + window.context_start, end + window.context_start
    owned = np.ones(len(start), dtype=bool)
    mine = _poorer_side(window, start, end)
    for other_index, other in enumerate(windows):
        if (
            other_index == index
            or other.context_end <= window.context_start
            or other.context_start >= window.context_end
        ):
            continue
        theirs = _poorer_side(other, start, end)
        owned &= (mine > theirs) | ((mine == theirs) & (index < other_index))
    return start[owned], end[owned], scores[owned]


def _poorer_side(window: Window, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Context tokens on the poorer side of each span in this window; negative where the window does not hold it."""
    return np.minimum(start - window.context_start, window.context_end - 1 - end)
