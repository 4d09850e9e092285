"""Schedules of the load generator."""

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.arrivals import arrival_times


def test_constant_arrivals_are_evenly_spaced() -> None:
    """A constant schedule sends one request every 1/rate seconds, the first at once."""
    times = arrival_times(rate=4, duration_s=2, pattern="constant", seed=0)
    assert times == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]


def test_poisson_gaps_are_exponential() -> None:
    """Gaps have mean 1/rate and, as only exponential gaps do, a standard deviation equal to their mean."""
    times = arrival_times(rate=100, duration_s=200, pattern="poisson", seed=7)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(0.01, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.01, rel=0.05)


@given(rate=st.floats(0.1, 500), duration_s=st.floats(0.1, 10), seed=st.integers(0, 1000))
def test_schedules_are_ascending_and_bounded(rate: float, duration_s: float, seed: int) -> None:
    """Every schedule has at least one request, ascends, and ends before the phase does."""
    for pattern in ("constant", "poisson"):
        times = arrival_times(rate=rate, duration_s=duration_s, pattern=pattern, seed=seed)
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < duration_s


def test_same_seed_same_schedule() -> None:
    """Two variants measured with one seed get the very same arrivals."""
    first, second = (arrival_times(rate=50, duration_s=1, pattern="poisson", seed=3) for _ in range(2))
    assert first == second


def test_refuses_a_rate_of_zero() -> None:
    """A rate that never sends is an error, not an endless wait."""
    with pytest.raises(ValueError, match="above zero"):
        arrival_times(rate=0, duration_s=1, pattern="constant", seed=0)
