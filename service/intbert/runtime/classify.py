"""Classification: logits to labels with scores. Pure; the floats here are outside of the model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from intbert.errors import InputError
from intbert.model.manifest import ProblemType
from intbert.model.tokenizer import EncodedInput, Tokenizer
from intbert.runtime.answers import ModelRef, Timings, Usage
from intbert.runtime.selection import Selection

Function = Literal["softmax", "sigmoid", "none"]
SCORE_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class TextInput:
    """One input: a text, or a pair."""

    text: str
    text_pair: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassifyParameters(Selection):
    """None is the default: all labels, the model's own function."""

    top_k: int | None = None
    function_to_apply: Function | None = None
    truncation: Literal["error", "truncate"] = "error"


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """`score` has six digits; with the function `none` it is the logit."""

    label: str
    score: float


@dataclass(frozen=True, kw_only=True)
class ClassifyResult:
    """The answer to one request: results, usage and digests have one entry for each input, in the order sent."""

    model: ModelRef
    results: tuple[tuple[LabelScore, ...], ...]  # best first
    usage: tuple[Usage, ...]
    digests: tuple[str, ...] | None  # None unless asked for
    logits: tuple[NDArray[Any], ...]  # (labels,) each: int32, or float32 of a float variant
    labels: tuple[str, ...]  # the model's, in the order of the logits
    timings: Timings


def check_parameters(parameters: ClassifyParameters) -> None:
    """InputError for values that no model could take."""
    if parameters.top_k is not None and parameters.top_k < 1:
        raise InputError(
            f"top_k is {parameters.top_k}; it must be at least 1",
            code="invalid_parameter",
            details={"top_k": parameters.top_k},
        )


def encode_inputs(
    inputs: Sequence[TextInput], tokenizer: Tokenizer, *, limit_tokens: int, truncate: bool
) -> list[EncodedInput]:
    """One sequence an input. InputError names the input: "inputs[3]", or "inputs[3].text" of a pair."""
    encoded = []
    for index, item in enumerate(inputs):
        place = f"inputs[{index}]" if len(inputs) > 1 else "inputs"
        field = place if item.text_pair is None else f"{place}.text"
        encoded.append(
            tokenizer.encode(item.text, item.text_pair, limit_tokens=limit_tokens, truncate=truncate, field=field)
        )
    return encoded


def default_function(problem_type: ProblemType, labels: int) -> Function:
    """Regression has no function; several labels at once, or one label alone, are judged each by itself."""
    if problem_type == "regression":
        return "none"
    return "sigmoid" if problem_type == "multi_label_classification" or labels == 1 else "softmax"


def apply_function(logits: Sequence[float], function: Function) -> list[float]:
    """Scores of real logits; exact at any magnitude: no exponential of a positive number is taken.

    In plain Python: for a handful of labels NumPy's calls take several times as long as the work.
    """
    if function == "softmax":
        highest = max(logits)
        powers = [math.exp(logit - highest) for logit in logits]
        total = math.fsum(powers)
        return [power / total for power in powers]
    if function == "sigmoid":
        return [_sigmoid(logit) for logit in logits]
    return list(logits)


def _sigmoid(logit: float) -> float:
    small = math.exp(-abs(logit))
    return (1.0 if logit >= 0 else small) / (1.0 + small)


def label_scores(
    logits: NDArray[Any], labels: Sequence[str], *, logit_scale: float, function: Function, top_k: int | None = None
) -> tuple[LabelScore, ...]:
    """Labels with scores, best first; ties in the order of the labels.

    logits (labels,) in units of `logit_scale`. The order is that of the logits themselves, so rounding can't change it.
    """
    values = logits.tolist()
    scores = apply_function([value * logit_scale for value in values], function)
    order = sorted(range(len(labels)), key=lambda i: -values[i])[: top_k or len(labels)]
    return tuple(LabelScore(label=labels[i], score=round(scores[i], SCORE_DIGITS)) for i in order)
