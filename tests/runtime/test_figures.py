"""Figures of a set: metrics with intervals, calibration, paired difference, agreement."""

import json
from typing import Any

import numpy as np
import pytest

from intbert.runtime.evaluate import Evaluation, joined
from intbert.runtime.figures import comparison, figures
from intbert.runtime.outcomes import LabelOutcomes, LabelSetOutcomes, Outcomes, ScoreOutcomes, SpanOutcomes, agreement

EXAMPLES = 200


def evaluation(outcomes: Outcomes, variant: str = "int8", tokens_per_s: float = 100.0) -> Evaluation:
    """Of ten tokens an example."""
    count = len(outcomes.wrong)
    return Evaluation(
        model="m",
        variant=variant,
        engine="e",
        outcomes=outcomes,
        tokens=np.full(count, 10),
        windows=np.ones(count, dtype=np.int64),
        tokens_per_s=tokens_per_s,
    )


def labels(wrong: int, confidence: float = 0.8) -> LabelOutcomes:
    """All labels are 1; the first `wrong` answers are 0."""
    predicted = np.where(np.arange(EXAMPLES) < wrong, 0, 1)
    top = np.full(EXAMPLES, confidence)
    columns = [np.where(predicted == index, top, 1 - top) for index in range(2)]
    expected = np.ones(EXAMPLES, dtype=np.int64)
    return LabelOutcomes(expected=expected, predicted=predicted, probabilities=np.stack(columns, axis=1))


def spans(exact: float, overlap: float, start: int = 3) -> SpanOutcomes:
    """Two questions, answered alike."""
    return SpanOutcomes(
        exact=np.array([exact, exact]),
        overlap=np.array([overlap, overlap]),
        spans=np.array([(start, 9), (4, 7)]),
        probabilities=np.array([0.5, 0.25]),
        answers=np.array(["a b", "c"], dtype=object),
    )


def test_figures_of_a_classifier() -> None:
    """90 % right at a confidence of 80 %: off by ten points; the interval holds the value; plain JSON."""
    found = json.loads(json.dumps(figures(evaluation(labels(20)))))
    assert set(found) == {"examples", "metrics", "intervals", "calibration_error"}
    assert (found["examples"], found["metrics"]["accuracy"]) == (EXAMPLES, 90.0)
    assert found["calibration_error"] == pytest.approx(10.0)
    low, high = found["intervals"]["accuracy"]
    assert 85 < low < 90 < high < 95


def test_the_difference_is_paired() -> None:
    """Variants that err on the same examples but for four differ by two points, far more surely than each is known."""
    ours, theirs = evaluation(labels(20)), evaluation(labels(16), "fp32")
    found = figures(ours, theirs)
    against = found["against"]
    assert (against["variant"], against["agreement"]) == ("fp32", 98.0)
    difference = against["differences"]["accuracy"]
    low, high = difference["interval"]
    assert difference["value"] == -2.0
    assert low < -2 < high <= 0
    width = found["intervals"]["accuracy"][1] - found["intervals"]["accuracy"][0]
    assert high - low < width / 2


def test_a_variant_does_not_differ_from_itself() -> None:
    """Nothing, for sure."""
    same = comparison(evaluation(labels(20)), evaluation(labels(20), "fp32"))
    assert same["agreement"] == 100.0
    assert {(item["value"], *item["interval"]) for item in same["differences"].values()} == {(0, 0, 0)}


def test_other_examples_can_not_be_paired() -> None:
    """As far as their number tells."""
    with pytest.raises(ValueError, match="200 examples can't be paired with 2"):
        comparison(evaluation(labels(1)), evaluation(spans(1, 1)))


def test_spans_agree_when_they_are_the_same() -> None:
    """Begin and end, not the text; questions have no calibration error."""
    found = figures(evaluation(spans(1.0, 1.0)), evaluation(spans(0.0, 0.5, start=2), "fp32"))
    assert found["metrics"] == {"exact_match": 100.0, "f1": 100.0}
    assert found["against"]["agreement"] == 50.0
    assert found["against"]["differences"]["f1"]["value"] == 50.0
    assert "calibration_error" not in found


def test_scores_agree_on_nothing() -> None:
    """There is no decision; correlations have intervals all the same."""
    scores = ScoreOutcomes(predicted=np.arange(20.0), expected=np.arange(20.0) ** 2)
    assert agreement(scores, scores) is None
    found = figures(evaluation(scores), evaluation(scores, "fp32"))
    assert found["against"]["agreement"] is None
    assert found["intervals"]["spearman"] == [100.0, 100.0]


def test_sets_of_labels_agree_as_a_whole() -> None:
    """One of two texts has another label."""
    first = np.array([[True, False], [True, True]])
    other = np.array([[True, False], [True, False]])
    made = [
        LabelSetOutcomes(expected=first, predicted=part, probabilities=np.full((2, 2), 0.9)) for part in (first, other)
    ]
    assert agreement(*made) == 50.0
    assert made[1].wrong.tolist() == [False, True]
    assert made[1].confidence.tolist() == pytest.approx([0.9 * 0.1, 0.9 * 0.1])


@pytest.mark.parametrize(
    ("first", "second", "metric", "value"),
    [(labels(0), labels(20), "accuracy", 95.0), (spans(1.0, 1.0), spans(0.0, 0.5), "f1", 75.0)],
)
def test_sets_are_joined(first: Any, second: Any, metric: str, value: float) -> None:
    """All examples of both count alike; the speed is that of both runs together."""
    whole = joined([evaluation(first), evaluation(second, tokens_per_s=300.0)])
    assert whole.metrics[metric] == value
    assert whole.examples == 2 * len(first.wrong)
    assert whole.tokens_per_s == pytest.approx(150.0)
