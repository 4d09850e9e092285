"""Scores: right at any magnitude, best first, six digits."""

import math
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.errors import InputError
from intbert.runtime.answers import digest_of
from intbert.runtime.classify import (
    ClassifyParameters,
    apply_function,
    check_parameters,
    default_function,
    label_scores,
)

logits = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=6)
LABELS = tuple("abcdef")


@given(logits, st.sampled_from([2.0**-20, 1.0, 1e3]))
def test_softmax_is_a_distribution_at_any_magnitude(values: list[int], scale: float) -> None:
    """No overflow, no NaN; warnings are errors here."""
    scores = apply_function([value * scale for value in values], "softmax")
    assert min(scores) >= 0
    assert math.isclose(sum(scores), 1.0)
    assert scores.index(max(scores)) == values.index(max(values))


@given(st.floats(-1e9, 1e9))
def test_sigmoid_is_symmetric_at_any_magnitude(value: float) -> None:
    """s(x) + s(-x) = 1."""
    up, down = apply_function([value, -value], "sigmoid")
    assert math.isclose(up + down, 1.0)
    assert up >= down if value >= 0 else up <= down


@given(logits, st.none() | st.integers(1, 8))
def test_labels_come_best_first(values: list[int], top_k: int | None) -> None:
    """Ordered by logit, ties in the order of the labels, at most top_k."""
    ranked = label_scores(
        np.array(values, dtype=np.int32),
        LABELS[: len(values)],
        logit_scale=1e-6,
        function="softmax",
        top_k=top_k,
    )
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[: top_k or len(values)]
    assert [item.label for item in ranked] == [LABELS[i] for i in expected]


def test_scores_have_six_digits_and_the_logits_scale() -> None:
    """softmax(ln 3, 0) = 3/4, 1/4."""
    unit = math.log(3) / 1000
    ranked = label_scores(np.array([0, 1000], np.int32), ("no", "yes"), logit_scale=unit, function="softmax")
    assert [(item.label, item.score) for item in ranked] == [("yes", 0.75), ("no", 0.25)]
    third = label_scores(np.array([0, 0, 0], np.int32), LABELS[:3], logit_scale=1.0, function="softmax")
    assert [item.score for item in third] == [0.333333] * 3


def test_regression_gives_the_value() -> None:
    """Without a function the score is the real logit."""
    ranked = label_scores(np.array([2500], np.int32), ("score",), logit_scale=1e-3, function="none")
    assert ranked[0].score == 2.5


@pytest.mark.parametrize(
    ("problem", "labels", "function"),
    [
        ("single_label_classification", 2, "softmax"),
        ("single_label_classification", 1, "sigmoid"),
        ("multi_label_classification", 3, "sigmoid"),
        ("regression", 1, "none"),
    ],
)
def test_function_follows_the_problem(problem: str, labels: int, function: str) -> None:
    """Several labels at once must not compete; regression is no probability."""
    assert default_function(problem, labels) == function  # type: ignore[arg-type]


def test_top_k_must_be_positive() -> None:
    """Zero labels is no answer."""
    with pytest.raises(InputError, match="top_k is 0"):
        check_parameters(ClassifyParameters(top_k=0))


def test_digest_is_over_little_endian_int32() -> None:
    """A client can compute it from the logits in any language."""
    expected = sha256(b"\x01\0\0\0\xff\xff\xff\xff").hexdigest()
    assert digest_of(np.array([1, -1], np.int32)) == expected
    assert digest_of(np.array([[1], [-1]], np.int32)) == expected
    with pytest.raises(TypeError, match="float32"):
        digest_of(np.array([1.0], np.float32))
