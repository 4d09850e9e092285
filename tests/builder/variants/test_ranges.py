"""Ranges and the grids over them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.builder.variants.plan import Grid, weight_integers
from intbert.builder.variants.ranges import (
    BINS,
    Observed,
    Range,
    least_squares,
    least_squares_symmetric,
    minmax,
    squared_error,
)

ends = st.floats(min_value=1e-3, max_value=1e3)
ranges = st.builds(lambda low, high: Range(low=-low, high=high), ends, ends)


def seen(values: NDArray[np.float64]) -> Observed:
    """A histogram of the values."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    counts, _ = np.histogram(values, bins=BINS, range=(low, high))
    return Observed(range=Range(low=low, high=high), counts=counts.astype(float), channel_low=None, channel_high=None)


@given(found=ranges, bits=st.sampled_from([8, 16]))
def test_zero_is_on_every_grid_and_the_ends_are_near(found: Range, bits: int) -> None:
    """A grid represents 0 exactly and reaches both ends of its range but for one step."""
    grid = Grid.over(found, bits)  # type: ignore[arg-type]  # hypothesis gives an int
    top, step = 2**bits - 1, float(grid.scale)
    assert 0 <= grid.zero_point <= top
    assert abs((0 - int(grid.zero_point)) * step - found.low) <= 1.01 * step
    assert abs((top - int(grid.zero_point)) * step - found.high) <= 1.01 * step


@given(found=ranges)
def test_symmetric_grids_have_their_zero_in_the_middle(found: Range) -> None:
    """128 of 256, so that stored integers are the symmetric ones plus 128."""
    assert Grid.over(found.symmetric).zero_point == 128


def test_a_tensor_that_is_always_zero_has_a_grid() -> None:
    """No division by its empty range; 0 stays 0."""
    grid = Grid.over(Range(low=0.0, high=0.0))
    assert (float(grid.scale), int(grid.zero_point)) == (1.0, 128)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), outlier=st.floats(1, 300))
def test_the_search_is_never_worse_than_everything_seen(seed: int, outlier: float) -> None:
    """Least squares has at most the squared error of the whole range, and cuts a lone outlier among many values."""
    values = np.append(np.random.default_rng(seed).normal(size=5000), outlier)
    found = seen(values)
    for bits in (8, 16):
        whole = squared_error(found, minmax(found, bits), bits)
        assert squared_error(found, least_squares(found, bits), bits) <= whole * (1 + 1e-9)
        symmetric = squared_error(found, found.range.symmetric, bits)
        assert squared_error(found, least_squares_symmetric(found, bits), bits) <= symmetric * (1 + 1e-9)


def test_the_search_clips_where_that_pays() -> None:
    """With 4 bits' worth of steps a lone value ten times as large is cut; with 16 bits the range stays."""
    found = seen(np.append(np.random.default_rng(0).normal(size=100_000), 40.0))
    assert least_squares(found, 4).high < 20
    assert least_squares(found, 16).high > 39


@given(scale=st.floats(1e-4, 1.0), seed=st.integers(0, 100))
def test_weights_are_rounded_to_the_nearest_and_saturate(scale: float, seed: int) -> None:
    """Within the range half a step is the largest error; beyond it the integer is 127, never -128."""
    values = np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)
    step = np.float32(scale)
    integers = weight_integers(values, step)
    inside = np.abs(values) <= 127 * step
    assert np.all(np.abs(values - integers * step)[inside] <= 0.5001 * step)
    assert np.all(np.abs(integers.astype(int))[~inside] == 127)
