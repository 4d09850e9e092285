"""What a variant said to every example, and what was expected: everything that metrics, intervals and errors need."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import EllipsisType
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from intbert.runtime import squad_metric
from intbert.runtime.scores import (
    Flags,
    Floats,
    Indices,
    classification_metrics,
    multi_label_metrics,
    percent,
    regression_metrics,
)

Chosen = Indices | EllipsisType  # (..., examples) indices, or all


class Outcomes(Protocol):
    """One entry for each example in every array."""

    group_metric: ClassVar[str]  # that means something for a group of any composition

    def metrics(self, chosen: Chosen = ...) -> dict[str, Floats]:
        """Percent over the chosen examples: indices (..., examples) give values (...)."""

    @property
    def decisions(self) -> NDArray[Any] | None:
        """(examples, parts) what the answer comes down to; None where there is nothing to agree on."""

    @property
    def wrong(self) -> Flags:
        """(examples,) plainly wrong answers."""

    @property
    def confidence(self) -> Floats:
        """(examples,) the variant's own probability of its answer."""


@dataclass(frozen=True, kw_only=True)
class LabelOutcomes:
    """One label a text."""

    expected: Indices  # (examples,)
    predicted: Indices  # (examples,) the largest logit's
    probabilities: Floats  # (examples, labels)

    group_metric: ClassVar[str] = "accuracy"

    def metrics(self, chosen: Chosen = ...) -> dict[str, Floats]:
        return classification_metrics(self.predicted[chosen], self.expected[chosen], self.probabilities.shape[1])

    @property
    def decisions(self) -> Indices:
        return self.predicted[:, np.newaxis]

    @property
    def wrong(self) -> Flags:
        return np.not_equal(self.predicted, self.expected)

    @property
    def confidence(self) -> Floats:
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class LabelSetOutcomes:
    """Any number of labels a text."""

    expected: Flags  # (examples, labels)
    predicted: Flags  # (examples, labels)
    probabilities: Floats  # (examples, labels) of each label by itself

    group_metric: ClassVar[str] = "accuracy"

    def metrics(self, chosen: Chosen = ...) -> dict[str, Floats]:
        return multi_label_metrics(self.predicted[chosen], self.expected[chosen])

    @property
    def decisions(self) -> Flags:
        return self.predicted

    @property
    def wrong(self) -> Flags:
        return np.asarray(np.any(self.predicted != self.expected, axis=1))

    @property
    def confidence(self) -> Floats:
        """Of the whole set: labels are independent in such a model."""
        chosen = np.where(self.predicted, self.probabilities, 1 - self.probabilities)
        return np.asarray(np.prod(chosen, axis=1), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class ScoreOutcomes:
    """A number a text: neither right nor wrong."""

    expected: Floats  # (examples,)
    predicted: Floats  # (examples,)

    group_metric: ClassVar[str] = "pearson"

    def metrics(self, chosen: Chosen = ...) -> dict[str, Floats]:
        return regression_metrics(self.predicted[chosen], self.expected[chosen])

    @property
    def decisions(self) -> None:
        return None

    @property
    def wrong(self) -> Flags:
        return np.zeros(len(self.predicted), dtype=bool)

    @property
    def confidence(self) -> Floats:
        return np.ones(len(self.predicted))


@dataclass(frozen=True, kw_only=True)
class SpanOutcomes:
    """A span a question."""

    exact: Floats  # (questions,) 0 or 1
    overlap: Floats  # (questions,) F1 of words, 0 to 1
    spans: Indices  # (questions, 2) where the best span begins and ends in its context, code points
    probabilities: Floats  # (questions,) of that span
    answers: NDArray[np.object_]  # (questions,) its text

    group_metric: ClassVar[str] = "f1"

    def metrics(self, chosen: Chosen = ...) -> dict[str, Floats]:
        return squad_metric.question_metrics(self.exact[chosen], self.overlap[chosen])

    @property
    def decisions(self) -> Indices:
        return self.spans

    @property
    def wrong(self) -> Flags:
        """Not a word in common with any expected answer: where a span ends is a matter of taste, this is not."""
        return np.equal(self.overlap, 0)

    @property
    def confidence(self) -> Floats:
        return self.probabilities


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Of one model on several sets, in their order."""
    first: Any = parts[0]  # all are of one dataclass, whose fields are arrays over examples
    columns = {item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(first)}
    whole: Outcomes = type(first)(**columns)
    return whole


def agreement(first: Outcomes, other: Outcomes) -> Floats | None:
    """Percent of the examples on which both decide the same: label, labels or span. None where nothing is decided."""
    if first.decisions is None or other.decisions is None:
        return None
    return percent(float(np.mean(np.all(first.decisions == other.decisions, axis=1))))
