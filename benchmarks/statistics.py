"""Medians, quartiles and ratios within rounds: what happens to a round happens to both sides of a ratio."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median of some values, and the quartiles between which half of them lie."""

    median: float
    low: float
    high: float
    count: int

    def scaled(self, factor: float) -> "Spread":
        """In another unit."""
        return Spread(median=self.median * factor, low=self.low * factor, high=self.high * factor, count=self.count)


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value. ValueError for none."""
    if not values:
        raise ValueError("no values to summarise")
    if len(values) == 1:
        return Spread(median=values[0], low=values[0], high=values[0], count=1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, low=low, high=high, count=len(values))


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of above[i] / below[i], each from one round. ValueError when the rounds are not the same."""
    if len(above) != len(below):
        raise ValueError(f"{len(above)} rounds can't be paired with {len(below)}")
    return spread([one / other for one, other in zip(above, below, strict=True)])


def geometric_mean(values: Iterable[float]) -> float:
    """Of positive values; nan of none."""
    found = list(values)
    return statistics.geometric_mean(found) if found else float("nan")
