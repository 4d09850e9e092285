"""What calibration saw of one tensor, and how ranges are estimated from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 2048
CANDIDATES = 80  # ends of the range that a search tries
ROUNDS = 2  # of searching one end while the other stands
F64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Real values between which a grid's steps lie; 0 is always inside."""

    low: float
    high: float

    @property
    def symmetric(self) -> "Range":
        """The smallest range around it that reaches equally far to both sides."""
        reach = max(-self.low, self.high)
        return Range(low=-reach, high=reach)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One tensor over all calibration texts."""

    range: Range  # smallest and largest value
    counts: F64  # (bins,) values in equal parts of `range`
    channel_low: F64 | None  # (channels,) smallest value of each; None for tensors whose last axis is no channel
    channel_high: F64 | None

    @property
    def centres(self) -> F64:
        """(bins,) the values that `counts` are counted as."""
        edges = np.linspace(self.range.low, self.range.high, len(self.counts) + 1)
        centres: F64 = (edges[1:] + edges[:-1]) / 2
        return centres


Estimator = Callable[[Observed, int], Range]  # what was seen, and the grid's bits


def minmax(seen: Observed, _: int) -> Range:
    """Everything that was seen."""
    return seen.range


def least_squares(seen: Observed, bits: int) -> Range:
    """The range of least squared error of a grid with so many bits, each end searched in turns."""
    return _search(seen, bits, symmetric=False)


def least_squares_symmetric(seen: Observed, bits: int) -> Range:
    """The symmetric range of least squared error."""
    return _search(seen, bits, symmetric=True)


def squared_error(seen: Observed, chosen: Range, bits: int) -> float:
    """Mean squared difference to the grid over `chosen`, counting every value as the centre of its bin."""
    summed = _error(seen.centres, seen.counts, chosen.low, chosen.high, 2**bits - 1)
    return summed / max(1.0, float(seen.counts.sum()))


def _search(seen: Observed, bits: int, *, symmetric: bool) -> Range:
    start = seen.range.symmetric if symmetric else seen.range
    centres, counts, steps = seen.centres, seen.counts, 2**bits - 1
    shares = np.linspace(1.0, 1.0 / CANDIDATES, CANDIDATES)
    if symmetric:
        reach = min(shares * start.high, key=lambda end: _error(centres, counts, -end, end, steps))
        return Range(low=-float(reach), high=float(reach))
    low, high = start.low, start.high
    for _ in range(ROUNDS):
        fixed = low
        high = float(min(shares * start.high, key=lambda end: _error(centres, counts, fixed, end, steps)))
        other = high
        low = float(min(shares * start.low, key=lambda end: _error(centres, counts, end, other, steps)))
    return Range(low=low, high=high)


def _error(values: F64, counts: F64, low: float, high: float, steps: int) -> float:
    """Summed squared difference of the values to a grid of `steps` steps that has 0 on it."""
    scale = (high - low) / steps
    if scale <= 0:
        return float((counts * values**2).sum())
    zero = np.round(-low / scale)
    rounded = (np.clip(np.round(values / scale) + zero, 0, steps) - zero) * scale
    return float((counts * (values - rounded) ** 2).sum())
