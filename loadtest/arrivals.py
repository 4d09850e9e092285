"""When requests are due. A schedule is fixed before the first request: the server's pace never changes it."""

from typing import Literal

import numpy as np

Pattern = Literal["constant", "poisson"]


def arrival_times(*, rate: float, duration_s: float, pattern: Pattern, seed: int) -> list[float]:
    """Send times in seconds from the start, ascending, all below `duration_s`.

    constant: one every 1/rate seconds. poisson: independent exponential gaps with mean 1/rate, as many independent
    users make them.
    """
    if rate <= 0 or duration_s <= 0:
        raise ValueError(f"rate {rate} and duration {duration_s} s must be above zero")
    if pattern == "constant":
        return [index / rate for index in range(max(1, int(rate * duration_s)))]
    generator = np.random.default_rng(seed)
    expected = rate * duration_s
    gaps = generator.exponential(1 / rate, size=int(expected + 10 * expected**0.5 + 20))
    times = np.cumsum(gaps)
    return [float(time) for time in times[times < duration_s]] or [0.0]
