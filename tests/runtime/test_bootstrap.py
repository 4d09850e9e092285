"""Intervals by resampling: seeded, of the stated level, paired."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from intbert.runtime import bootstrap
from intbert.runtime.bootstrap import interval, resampled
from intbert.runtime.scores import Floats, Indices

CORRECT = np.arange(400) % 10 < 9  # 90 %


def accuracy(chosen: Indices) -> Mapping[str, Floats]:
    """Of the fixed answers above."""
    return {"accuracy": 100 * CORRECT[chosen].mean(axis=-1)}


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    """Against the exact distribution of 400 draws with 90 % hits: within a quarter of a point, around the value."""
    low, high = interval(resampled(accuracy, len(CORRECT))["accuracy"])
    assert low < 90 < high
    exact = [stats.binom.ppf(q, 400, 0.9) / 4 for q in (0.025, 0.975)]
    assert (low, high) == pytest.approx(exact, abs=0.25)


def test_the_level_is_the_share_inside() -> None:
    """Of 1 to 1,000, nine tenths in the middle."""
    assert interval(np.arange(1.0, 1001.0), level_percent=90) == pytest.approx((50.95, 950.05))


def test_draws_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same, another seed something else; how many are drawn at once changes nothing."""
    first = resampled(accuracy, len(CORRECT), resamples=50)["accuracy"]
    assert first.shape == (50,)
    assert not np.array_equal(first, resampled(accuracy, len(CORRECT), resamples=50, seed=1)["accuracy"])
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 1000)
    assert np.array_equal(first, resampled(accuracy, len(CORRECT), resamples=50)["accuracy"])


@pytest.mark.parametrize(("examples", "resamples"), [(0, 10), (10, 0)])
def test_nothing_to_draw_is_refused(examples: int, resamples: int) -> None:
    """No examples, no resamples."""
    with pytest.raises(ValueError, match="at least one of each"):
        resampled(accuracy, examples, resamples=resamples)
