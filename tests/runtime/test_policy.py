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
    turn,
)

lengths = st.lists(st.integers(1, 600), min_size=1, max_size=60)
budgets = st.integers(1, 2048)


@given(lengths, budgets, st.data())
def test_window_holds_the_first_within_the_budget(sizes: list[int], budget: int, data: st.DataObject) -> None:
    """Contiguous; only the first alone may exceed the budget; nothing that fits is left beside it."""
    line = sorted(sizes)
    first = data.draw(st.integers(0, len(line) - 1))
    start, end = next_window(line, first, budget)
    total = sum(line[start:end])
    assert 0 <= start <= first < end <= len(line)
    assert total <= budget or (start, end) == (first, first + 1)
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


@given(st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=30), min_size=1, max_size=30))
def test_turns_starve_nobody(requests: list[list[int]]) -> None:
    """A request arrives after each step; whatever arrives once the clock has passed an entry's turn comes after it."""
    waiting: list[tuple[int, int, int]] = []  # (turn, arrival, tokens)
    arrived_at: dict[int, int] = {}
    served: list[tuple[int, int]] = []
    taken = 0
    while requests or waiting:
        before = 0
        for tokens in requests.pop(0) if requests else ():
            entry = (turn(tokens_taken=taken, tokens_before=before), len(arrived_at), tokens)
            waiting.append(entry)
            arrived_at[entry[1]] = taken
            before += tokens
        due = min(waiting)
        waiting.remove(due)
        taken += due[2]
        served.append(due[:2])
    for position, (its_turn, arrival) in enumerate(served):
        overtaken_by = [other for _, other in served[:position] if other > arrival]
        assert all(arrived_at[other] < its_turn for other in overtaken_by)


@given(st.integers(0, 99))
def test_long_request_does_not_hold_up_a_short_one(parts_taken: int) -> None:
    """A hundred windows wait; a text that arrives after some of them are taken is next but one at the latest."""
    windows = [turn(tokens_taken=0, tokens_before=384 * index) for index in range(100)]
    short = turn(tokens_taken=384 * parts_taken, tokens_before=0)
    assert sum(its_turn <= short for its_turn in windows[parts_taken:]) <= 1


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
    retry = retry_after_ms(drain_time_s=drain_time_s, queued_tokens=queued, excess_tokens=excess, batch_tokens_max=2048)
    assert 1 <= retry <= 60_000
    assert retry <= max(1, math.ceil(1000 * drain_time_s))


def test_retry_follows_the_measured_rate() -> None:
    """8,000 tokens at 1,000 a second on two workers drain in 4 s; a quarter of them in 1 s."""
    assert drain_s([(6000, 1000.0), (4000, 2000.0)], workers=2) == 4.0
    assert retry_after_ms(drain_time_s=4.0, queued_tokens=8000, excess_tokens=2000, batch_tokens_max=1000) == 1000


def test_retry_counts_whole_batches() -> None:
    """Room for one token more comes with the next batch that is taken, no earlier."""
    assert retry_after_ms(drain_time_s=4.0, queued_tokens=8000, excess_tokens=1, batch_tokens_max=2000) == 1000
    assert retry_after_ms(drain_time_s=4.0, queued_tokens=8000, excess_tokens=2001, batch_tokens_max=2000) == 2000


def test_rate_is_smoothed() -> None:
    """The first batch sets it, one outlier moves it by a fifth."""
    assert smoothed(None, 1000, 0.5) == 2000
    assert smoothed(2000, 1000, 1.0) == 1800
