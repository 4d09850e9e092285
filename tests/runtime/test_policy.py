"""The batch policy: nobody starves, budgets hold, everyone is served once."""

import math

from hypothesis import given
from hypothesis import strategies as st

from intbert.runtime.policy import (
    admits,
    drain_s,
    goes_wide,
    next_window,
    retry_after_ms,
    share_budget,
    smoothed,
)

lengths = st.lists(st.integers(1, 600), min_size=1, max_size=60)
budgets = st.integers(1, 2048)


@given(lengths, budgets, st.data())
def test_window_holds_the_oldest_within_the_budget(sizes: list[int], budget: int, data: st.DataObject) -> None:
    """Contiguous; only the oldest alone may exceed the budget; nothing that fits is left beside it."""
    line = sorted(sizes)
    oldest = data.draw(st.integers(0, len(line) - 1))
    start, end = next_window(line, oldest, budget)
    total = sum(line[start:end])
    assert 0 <= start <= oldest < end <= len(line)
    assert total <= budget or (start, end) == (oldest, oldest + 1)
    assert start == 0 or total + line[start - 1] > budget
    assert end == len(line) or total + line[end] > budget


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 3)), min_size=1, max_size=40), budgets)
def test_everyone_is_served_once_and_in_time(arrivals: list[tuple[int, int]], budget: int) -> None:
    """While others keep coming, an entry waits for at most as many batches as entries were before it."""
    waiting: list[tuple[int, int]] = []  # (length, arrival), sorted
    pending = list(enumerate(arrivals))
    ahead: dict[int, int] = {}
    served: dict[int, int] = {}
    batches = 0
    while pending or waiting:
        for _ in range(1 + (pending[0][1][1] if pending else 0)):
            if pending:
                index, (size, _) = pending.pop(0)
                ahead[index] = len(waiting) + batches
                waiting = sorted([*waiting, (size, index)])
        oldest = min(range(len(waiting)), key=lambda position: waiting[position][1])
        start, end = next_window([size for size, _ in waiting], oldest, budget)
        for _, index in waiting[start:end]:
            assert index not in served
            served[index] = batches
            assert batches <= ahead[index]
        del waiting[start:end]
        batches += 1
    assert sorted(served) == list(range(len(arrivals)))


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_admission_never_exceeds_the_cap(queued: int, tokens: int, cap: int) -> None:
    """What waits stays bounded, whoever asks."""
    assert not admits(queued_tokens=queued, tokens=tokens, queue_tokens_max=cap) or queued + tokens <= cap


@given(st.integers(0, 10**6), st.integers(0, 64), st.integers(1, 10**5))
def test_shares_cover_the_queue(waiting: int, idle: int, limit: int) -> None:
    """The idle workers' shares together take all that waits, or each has a full batch."""
    share = share_budget(waiting_tokens=waiting, idle_workers=idle, batch_tokens_max=limit)
    assert 1 <= share <= limit
    assert share * max(1, idle) >= waiting or share == limit


def test_only_a_batch_that_is_alone_takes_all_cores() -> None:
    """Company, waiting work, a tiny batch or a single core keep it on one."""
    alone = {"cores": 2, "tokens": 100, "wide_tokens_min": 32, "others_busy": 0, "others_waiting": 0}
    assert goes_wide(**alone)
    for change in ({"cores": 1}, {"tokens": 31}, {"others_busy": 1}, {"others_waiting": 1}):
        assert not goes_wide(**{**alone, **change})


@given(st.floats(0, 1e6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_retry_is_positive_and_bounded(drain_time_s: float, queued: int, excess: int) -> None:
    """Between a millisecond and a minute, and never longer than the whole queue takes."""
    retry = retry_after_ms(drain_time_s=drain_time_s, queued_tokens=queued, excess_tokens=excess)
    assert 1 <= retry <= 60_000
    assert retry <= max(1, math.ceil(1000 * drain_time_s))


def test_retry_follows_the_measured_rate() -> None:
    """8,000 tokens at 1,000 a second on two workers drain in 4 s; a quarter of them in 1 s."""
    assert drain_s([(6000, 1000.0), (4000, 2000.0)], workers=2) == 4.0
    assert retry_after_ms(drain_time_s=4.0, queued_tokens=8000, excess_tokens=2000) == 1000


def test_rate_is_smoothed() -> None:
    """The first batch sets it, one outlier moves it by a fifth."""
    assert smoothed(None, 1000, 0.5) == 2000
    assert smoothed(2000, 1000, 1.0) == 1800
