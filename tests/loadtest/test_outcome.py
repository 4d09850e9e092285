"""Figures of a phase."""

from loadtest.outcome import Outcome, summarise


def outcome(due_s: float, latency_s: float, *, status: int = 200, wait_s: float = 0.0) -> Outcome:
    """One request that was due at `due_s` and sent `wait_s` later."""
    return Outcome(
        due_s=due_s,
        sent_s=due_s + wait_s,
        done_s=due_s + latency_s,
        status=status,
        error="" if status else "ReadTimeout",
    )


def test_percentiles_and_goodput() -> None:
    """Of 100 requests of 1..100 ms, half are within 50 ms, and the percentiles are those of the list."""
    outcomes = [outcome(index / 100, (index + 1) / 1000) for index in range(100)]
    summary = summarise(outcomes, duration_s=1.0, slo_s=0.0505)
    assert summary.p50_ms is not None
    assert round(summary.p50_ms, 1) == 50.5
    assert summary.max_ms is not None
    assert round(summary.max_ms) == 100
    assert summary.goodput_share == 0.5
    assert summary.failures == {}


def test_failures_lower_goodput_and_do_not_improve_latency() -> None:
    """A refused or lost request is never goodput, and its short time is in no percentile."""
    outcomes = [outcome(0.0, 0.1), outcome(0.1, 0.001, status=429), outcome(0.2, 0.001, status=0)]
    summary = summarise(outcomes, duration_s=1.0, slo_s=1.0)
    assert summary.answered == 1
    assert summary.p50_ms is not None
    assert round(summary.p50_ms) == 100
    assert summary.failures == {"429": 1, "ReadTimeout": 1}
    assert summary.goodput_share == 1 / 3


def test_latency_counts_from_the_due_time() -> None:
    """A request that could only be sent 0.5 s late has those 0.5 s in its latency and is reported as sent late."""
    summary = summarise([outcome(0.0, 0.6, wait_s=0.5)], duration_s=1.0, slo_s=1.0)
    assert summary.p50_ms is not None
    assert round(summary.p50_ms) == 600
    assert summary.late_sends == 1


def test_nothing_answered_has_no_latency() -> None:
    """A phase without an answer has no percentiles instead of zeros."""
    summary = summarise([outcome(0.0, 0.1, status=503)], duration_s=1.0, slo_s=1.0)
    assert summary.p99_ms is None
    assert summary.answered_per_s == 0
