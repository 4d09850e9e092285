"""Medians, quartiles, ratios within rounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import geometric_mean, ratios, spread

POSITIVE = st.lists(st.floats(0.001, 1000), min_size=1, max_size=30)


@given(POSITIVE)
def test_quartiles_surround_the_median(values: list[float]) -> None:
    """Low <= median <= high, all within the values, whatever their order."""
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found == spread(values[::-1])


def test_quartiles_of_known_values() -> None:
    """The inclusive quartiles of 1..5 are 2, 3 and 4."""
    found = spread([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (found.low, found.median, found.high, found.count) == (2, 3, 4, 5)


def test_a_slow_round_does_not_move_a_ratio() -> None:
    """Both sides of a ratio come from one round, so a round that was slow for both says the same as the others."""
    found = ratios([4.0, 40.0, 8.0], [1.0, 10.0, 2.0])
    assert (found.low, found.median, found.high) == (4, 4, 4)


def test_rounds_must_be_the_same() -> None:
    """Ratios of different rounds are refused, and so is a summary of nothing."""
    with pytest.raises(ValueError, match="2 rounds can't be paired with 1"):
        ratios([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_geometric_mean() -> None:
    """2 and 8 mean 4: a gain and an equal loss cancel."""
    assert geometric_mean([2, 8]) == pytest.approx(4)
