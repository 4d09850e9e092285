"""Do two variants say the same? Pure: of answers and logits that were computed already."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.runtime.answers import Result
from intbert.runtime.classify import LabelScore
from intbert.runtime.qa import Answer
from intbert.runtime.queue import Output


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """One variant's answer to a request, and the logits behind it."""

    variant: str
    result: Result
    outputs: Sequence[Output]  # one a sequence, in units of `logit_scale`
    logit_scale: float

    def logits(self) -> list[list[NDArray[np.float64]]]:
        """In real units, for every input its sequences: one, or the windows of its document."""
        scaled = (output.logits.astype(np.float64) * self.logit_scale for output in self.outputs)
        return [list(islice(scaled, usage.windows)) for usage in self.result.usage]


@dataclass(frozen=True, kw_only=True)
class InputAgreement:
    """`agrees`: the same best label, or the same best span; the largest difference of a logit, in real units."""

    agrees: bool
    logit_abs_diff: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """All inputs of a request as two variants see them."""

    variant: str
    compared_with: str
    per_input: tuple[InputAgreement, ...]

    @property
    def agreeing(self) -> int:
        return sum(item.agrees for item in self.per_input)

    @property
    def share(self) -> float:
        return self.agreeing / len(self.per_input)

    @property
    def logit_abs_diff_max(self) -> float:
        return max(item.logit_abs_diff for item in self.per_input)


def agreement(first: Opinion, other: Opinion) -> Agreement:
    """`other` compared with `first`. Both must have answered the same inputs."""
    per_input = tuple(
        InputAgreement(agrees=best(ours) == best(theirs), logit_abs_diff=largest_difference(a, b))
        for ours, theirs, a, b in zip(
            first.result.results, other.result.results, first.logits(), other.logits(), strict=True
        )
    )
    return Agreement(variant=other.variant, compared_with=first.variant, per_input=per_input)


def best(ranked: Sequence[Any]) -> object:
    """What an answer comes down to: a label, or where a span begins and ends; None when there is no candidate."""
    if not ranked:
        return None
    top = ranked[0]
    if isinstance(top, LabelScore):
        return top.label
    if isinstance(top, Answer):
        return (top.start, top.end)
    raise TypeError(f"no answer of a known task: {type(top).__name__}")


def largest_difference(first: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]) -> float:
    """Over all logits of one input."""
    return max(float(np.abs(a - b).max()) for a, b in zip(first, other, strict=True))
