"""How sure a metric is: percentile bootstrap over examples (Efron and Tibshirani 1993, section 13.3).

The draws depend on the seed and the number of examples alone, so two variants that answered the same examples are
resampled alike, and the difference of what they reach on each resample is the paired bootstrap of their difference.
"""

from collections.abc import Callable, Mapping

import numpy as np

from intbert.runtime.scores import Floats, Indices

RESAMPLES = 2000
SEED = 0
LEVEL_PERCENT = 95
DRAWN_AT_ONCE = 2**20  # examples: bounds the memory, not the result

Metrics = Callable[[Indices], Mapping[str, Floats]]  # indices (resamples, examples) -> metric -> (resamples,)


def resampled(metrics: Metrics, examples: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Floats]:
    """Metric -> (resamples,): its value on that many draws of `examples` examples with replacement.

    Raises ValueError unless there are examples and resamples.
    """
    if examples < 1 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {examples} examples: at least one of each is needed")
    random = np.random.default_rng(seed)
    rows = max(1, DRAWN_AT_ONCE // examples)
    parts = [
        metrics(random.integers(examples, size=(min(rows, resamples - done), examples)))
        for done in range(0, resamples, rows)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: Floats, level_percent: float = LEVEL_PERCENT) -> tuple[float, float]:
    """Lower and upper percentile of resampled values, between which `level_percent` of them lie."""
    outside = (100 - level_percent) / 2
    low, high = np.percentile(values, [outside, 100 - outside])
    return float(low), float(high)
