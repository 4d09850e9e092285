"""Metrics agree with SciPy and with the textbook."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from intbert.runtime.scores import classification_metrics, f1, matthews, multi_label_metrics, pearson, ranks

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
