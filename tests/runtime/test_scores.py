"""Metrics agree with SciPy and with the textbook."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from intbert.runtime.scores import (
    calibration_error,
    classification_metrics,
    f1,
    matthews,
    multi_label_metrics,
    pearson,
    ranks,
    regression_metrics,
)

values = st.lists(st.integers(-5, 5), min_size=3, max_size=40)


@given(values)
def test_ranks_are_scipys(items: list[int]) -> None:
    """Ties share the mean rank."""
    assert ranks(np.array(items, dtype=float)).tolist() == stats.rankdata(items).tolist()


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=40))
def test_correlations_are_scipys(pairs: list[tuple[int, int]]) -> None:
    """Of values and ranks; 0 when a side is constant."""
    a, b = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert pearson(a, b) == 0
    else:
        assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-9)
        assert pearson(ranks(a), ranks(b)) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_matthews_of_two_labels_is_the_phi_coefficient(pairs: list[tuple[bool, bool]]) -> None:
    """The general formula reduces to the correlation of two binary variables."""
    a, b = (np.array(column, dtype=int) for column in zip(*pairs, strict=True))
    assert matthews(a, b, 2) == pytest.approx(pearson(a.astype(float), b.astype(float)), abs=1e-9)


def test_metrics_of_a_known_confusion() -> None:
    """2 hits, 1 false alarm, 1 miss, 4 rejections: accuracy 6/8, F1 2/3."""
    predicted = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    expected = np.array([1, 1, 0, 1, 0, 0, 0, 0])
    metrics = classification_metrics(predicted, expected, 2)
    assert metrics["accuracy"] == 75.0
    assert metrics["f1"] == pytest.approx(100 * 2 / 3)
    assert "f1" not in classification_metrics(predicted, expected, 3)


def test_f1_without_positives_is_zero() -> None:
    """Not a division by zero."""
    nothing = np.zeros(3, dtype=bool)
    assert f1(nothing, nothing) == 0


def test_multi_label_counts_whole_examples_and_decisions() -> None:
    """One of two examples right; three of four positive decisions shared."""
    predicted = np.array([[True, False], [True, True]])
    expected = np.array([[True, False], [True, False]])
    metrics = multi_label_metrics(predicted, expected)
    assert metrics["accuracy"] == 50.0
    assert metrics["f1_micro"] == pytest.approx(100 * 4 / 5)


def test_many_resamples_are_as_many_calls() -> None:
    """A row of a stack gives to the digit what it gives alone, whatever the metric."""
    random = np.random.default_rng(2)
    labels, scores = random.integers(3, size=(2, 5, 30)), random.integers(6, size=(2, 5, 30)) / 2
    decisions = random.random((2, 5, 30, 4)) < 0.4
    stacked = {
        **classification_metrics(*labels, 3),
        **multi_label_metrics(*decisions),
        **regression_metrics(*scores),
        "f1": f1(*decisions[..., 0]),
    }
    for row in range(5):
        alone = {
            **classification_metrics(*labels[:, row], 3),
            **multi_label_metrics(*decisions[:, row]),
            **regression_metrics(*scores[:, row]),
            "f1": f1(*decisions[:, row, :, 0]),
        }
        for name, values in stacked.items():
            assert values.shape == (5,)
            assert values[row] == pytest.approx(alone[name], abs=1e-12), name


def test_calibration_error_of_known_bins() -> None:
    """Three examples of 0.9 with one miss, one of 0.55 that hits: both gaps by their share of the examples."""
    confidence = np.array([0.9, 0.9, 0.9, 0.55])
    correct = np.array([True, True, False, True])
    expected = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * 0.45
    assert calibration_error(confidence, correct) == pytest.approx(100 * expected)
    assert calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0
    assert calibration_error(np.ones(4), np.zeros(4, dtype=bool)) == 100


@given(st.lists(st.tuples(st.floats(0.01, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_is_the_textbooks(items: list[tuple[float, bool]]) -> None:
    """Written as Guo et al. do: over the bins (low, high], the weighted gap of accuracy and mean confidence."""
    confidence, correct = (np.array(column) for column in zip(*items, strict=True))
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, correct) == pytest.approx(100 * total, abs=1e-9)
