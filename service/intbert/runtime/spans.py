"""Span search over the windows of one document: one softmax over the admissible spans of all windows.

A softmax for each window makes scores incomparable: a window without the answer still gives its best span a high
score. Here every admissible (start, end) pair of the document is one outcome of one distribution. A pair that two
windows see is counted once, in the window where it has the most context on its poorer side.
"""

from collections.abc import Iterator, Sequence
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
    best, mass = _no_spans(), LogSum()
    for part in window_spans(windows, logits, answer_tokens_max):
        mass.add(part.scores.astype(np.float64) * logit_scale)
        best = part.joined(best).best(top_k)
    if not len(best.scores):
        raise ValueError("the context has no tokens")
    null = null_score(logits) * logit_scale + null_offset if with_null else -np.inf
    mass.add(np.array([null]))
    spans = tuple(
        Span(start_token=int(start), end_token=int(end), probability=mass.share(float(score) * logit_scale))
        for start, end, score in zip(best.starts, best.ends, best.scores, strict=True)
    )
    return SpanSearch(spans=spans, null_probability=mass.share(null))


@dataclass(frozen=True, kw_only=True)
class Spans:
    """First and last document token (spans,) of some spans, and their scores in units of the logits."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    scores: Logits

    def joined(self, other: "Spans") -> "Spans":
        """These and the others."""
        return Spans(
            starts=np.concatenate([self.starts, other.starts]),
            ends=np.concatenate([self.ends, other.ends]),
            scores=np.concatenate([self.scores, other.scores]) if len(other.scores) else self.scores,
        )

    def best(self, count: int) -> "Spans":
        """The best ones, best first, ties by the earlier and then the shorter span."""
        kept = np.arange(len(self.scores))
        if count < len(kept):  # ordering all of them would take longer than everything else
            kept = np.flatnonzero(self.scores >= np.partition(self.scores, -count)[-count])
        order = kept[np.lexsort((self.ends[kept], self.starts[kept], -self.scores[kept]))][:count]
        return Spans(starts=self.starts[order], ends=self.ends[order], scores=self.scores[order])


class LogSum:
    """Sum of exponentials of numbers of any magnitude, added up in parts."""

    def __init__(self) -> None:
        self._peak, self._total = -np.inf, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """values (n,), -infinity counts nothing."""
        peak = max(self._peak, float(values.max(initial=-np.inf)))
        if peak > -np.inf:
            self._total = self._total * float(np.exp(self._peak - peak)) + float(np.exp(values - peak).sum())
            self._peak = peak

    def share(self, value: float) -> float:
        """exp(value) over the sum."""
        return float(np.exp(value - self._peak)) / self._total


def _no_spans() -> Spans:
    none = np.empty(0, dtype=np.int64)
    return Spans(starts=none, ends=none, scores=none)


def null_score(logits: Sequence[Logits]) -> float:
    """Of 'no answer', in units of the logits: the first token as start and end, the lowest over the windows."""
    return min(float(window_logits[0].sum()) for window_logits in logits)


def window_spans(windows: Sequence[Window], logits: Sequence[Logits], answer_tokens_max: int) -> Iterator[Spans]:
    """The admissible spans of a document, each once: window by window, those that it owns."""
    for index, window in enumerate(windows):
        if window.context_end > window.context_start:
            yield _owned_spans(windows, index, logits[index], answer_tokens_max)


def _owned_spans(windows: Sequence[Window], index: int, logits: Logits, answer_tokens_max: int) -> Spans:
    """The spans of window `index` that no other window sees with more context."""
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
    for other_index in _neighbours(windows, index):
        theirs = _poorer_side(windows[other_index], start, end)
        owned &= (mine > theirs) | ((mine == theirs) & (index < other_index))
    return Spans(starts=start[owned], ends=end[owned], scores=scores[owned])


def _neighbours(windows: Sequence[Window], index: int) -> Iterator[int]:
    """The windows that share context with window `index`. Windows are in the order of the document."""
    window = windows[index]
    for step in (-1, 1):
        other = index + step
        while 0 <= other < len(windows) and _overlap(windows[other], window):
            yield other
            other += step


def _overlap(a: Window, b: Window) -> bool:
    return a.context_start < b.context_end and b.context_start < a.context_end


def _poorer_side(window: Window, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Context tokens on the poorer side of each span in this window; negative where the window does not hold it."""
    return np.minimum(start - window.context_start, window.context_end - 1 - end)
