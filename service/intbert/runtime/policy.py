"""Batch policy, pure: who is admitted, who runs next, how long the queue will take. No clocks, no locks."""

import math
from collections.abc import Sequence
from typing import Protocol

RETRY_MS_MAX = 60_000


def admits(*, queued_tokens: int, tokens: int, queue_tokens_max: int) -> bool:
    """Admission by tokens: what waits, and the new work, fit together."""
    return queued_tokens + tokens <= queue_tokens_max


def turn(*, tokens_taken: int, tokens_before: int) -> int:
    """When an entry is next: smallest first, ties by arrival.

    The clock is the number of tokens that batches have taken so far; `tokens_before` are those of the same request that
    come before the entry. So a request's parts take turns with what arrives later, as if each had come when the parts
    before it were done: a document of a hundred windows does not hold up a short text. And nobody starves: once the
    clock has passed an entry's turn, all that arrives comes after it.
    """
    return tokens_taken + tokens_before


class Lengths(Protocol):
    """As much of a sequence of integers as the window search needs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> int: ...


def next_window(lengths: Lengths, first: int, budget_tokens: int) -> tuple[int, int]:
    """The next batch, as [start, end) of the queue sorted by length: contiguous, with the entry whose turn it is.

    `lengths` is sorted, `first` the index of the entry whose turn it is. The window grows to the side whose
    next entry is closer in length, as long as the sum stays within the budget; the first runs even if it alone exceeds
    it.
    """
    start, end = first, first + 1
    anchor = total = lengths[first]
    while True:
        room = budget_tokens - total
        left = start > 0 and lengths[start - 1] <= room
        right = end < len(lengths) and lengths[end] <= room
        if left and right:
            left = anchor - lengths[start - 1] <= lengths[end] - anchor
        if left:
            start -= 1
            total += lengths[start]
        elif right:
            total += lengths[end]
            end += 1
        else:
            return start, end


def share_budget(*, waiting_tokens: int, idle_workers: int, batch_tokens_max: int) -> int:
    """A batch's budget: what waits is shared among the workers that could take it now, within the limit."""
    return max(1, min(batch_tokens_max, math.ceil(waiting_tokens / max(1, idle_workers))))


def goes_wide(*, cores: int, tokens: int, wide_tokens_min: int, others_busy: int, others_waiting: int) -> bool:
    """A batch that is alone may use all cores; with company, one core a batch gives the best throughput."""
    return cores > 1 and others_busy == 0 and others_waiting == 0 and tokens >= wide_tokens_min


def drain_s(tokens_by_rate: Sequence[tuple[int, float]], workers: int) -> float:
    """Seconds until all that waits is computed: (tokens, tokens a second of one worker) for each variant."""
    return sum(tokens / rate for tokens, rate in tokens_by_rate) / max(1, workers)


def retry_after_ms(*, drain_time_s: float, queued_tokens: int, excess_tokens: int, batch_tokens_max: int) -> int:
    """When `excess_tokens` of the queue will be gone, at the rate that empties all of it in `drain_time_s`.

    The queue empties by whole batches, not token by token: the excess counts as the batches that take it away.
    """
    leaving_tokens = math.ceil(excess_tokens / batch_tokens_max) * batch_tokens_max
    share = min(1.0, leaving_tokens / max(1, queued_tokens))
    return min(RETRY_MS_MAX, max(1, math.ceil(1000 * drain_time_s * share)))


def smoothed(rate: float | None, tokens: int, seconds: float, *, weight: float = 0.2) -> float:
    """Tokens a second, averaged over batches so that the last five count most."""
    measured = tokens / max(seconds, 1e-9)
    return measured if rate is None else (1 - weight) * rate + weight * measured
