"""The temperature of a model's scores, and the offset of 'no answer', from held-out training data.

Temperature scaling (Guo et al. 2017, section 4.2): one number divides all logits before the softmax, so no answer
changes. It is found for int8, and applied to every variant, whose logits so stay comparable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.builder.features import Feature
from intbert.model.manifest import Calibration
from intbert.model.package import Package
from intbert.runtime import qa, squad_metric
from intbert.runtime.batch import TokenSequence
from intbert.runtime.evaluate import compute, engine_of
from intbert.runtime.evaluate_spans import encode_all
from intbert.runtime.scores import calibration_error
from intbert.runtime.spans import null_score, window_spans
from intbert.runtime.squad import LabelledQuestion

Floats = NDArray[np.float64]
LOG_TEMPERATURE_MAX = 2.0  # exp(2) = 7.4; a model that needs more is not worth calibrating
SEARCH_STEPS = 60
EXAMPLES_MIN = 50  # fewer say nothing about probabilities


@dataclass(frozen=True, kw_only=True)
class ScoreCalibration:
    """What the manifest gets, and what the card says of how it was found."""

    calibration: Calibration
    found: dict[str, Any]


def calibrate_labels(package: Package, variant: str, holdout: Sequence[Feature]) -> ScoreCalibration:
    """Least negative log-likelihood of the labels of held-out examples (input_ids, token_type_ids, labels)."""
    if len(holdout) < EXAMPLES_MIN:
        return uncalibrated(len(holdout))
    sequences = [TokenSequence.of(item["input_ids"], item["token_type_ids"]) for item in holdout]
    computed = compute(engine_of(package, variant), sequences, threads=1, per_token=False)
    logits = np.stack(computed.logits) * package.manifest.output_scale(variant)
    labels = np.array([item["labels"] for item in holdout])

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float((log_sum_exp(scaled) - scaled[np.arange(len(labels)), labels]).mean())

    result = _calibrated(Calibration(temperature=best_temperature(loss)), len(holdout), loss)
    correct = logits.argmax(axis=1) == labels
    errors = {
        f"calibration_error_{when}": round(calibration_error(top_probability(logits / temperature), correct), 2)
        for when, temperature in (("before", 1.0), ("after", result.calibration.temperature))
    }
    return ScoreCalibration(calibration=result.calibration, found={**result.found, **errors})


def calibrate_spans(
    package: Package, variant: str, questions: Sequence[LabelledQuestion], parameters: qa.QaParameters
) -> ScoreCalibration:
    """The best answer's probability against whether it is right, then the offset at which 'no answer' tells best.

    questions: those without answers are mismatched. The offset maximises the mean of the F1 over the answerable ones (0
    where 'no answer' is preferred) and the share of the others where it is.
    """
    judged = _judge(package, variant, questions, parameters)
    answerable = [item for item in judged if item.f1 is not None]
    if len(answerable) < EXAMPLES_MIN:
        return uncalibrated(len(answerable))

    def loss(temperature: float) -> float:
        losses = []
        for item in answerable:
            log_p = -float(log_sum_exp((item.scores - item.scores.max()) / temperature))
            losses.append(-log_p if item.exact else -np.log(max(-np.expm1(log_p), 1e-12)))
        return float(np.mean(losses))

    temperature = best_temperature(loss)
    gaps = np.array([(item.scores.max() - item.null) / temperature for item in judged])
    worths = np.array([-1.0 if item.f1 is None else item.f1 for item in judged])
    offset, null = best_null_offset(gaps, worths)
    result = _calibrated(Calibration(temperature=temperature, null_offset=offset), len(answerable), loss)
    return ScoreCalibration(calibration=result.calibration, found={**result.found, "no_answer": null})


def best_temperature(loss: Callable[[float], float]) -> float:
    """Where the loss, which has one minimum, is least: golden-section search over the logarithm, four digits."""
    low, high = -LOG_TEMPERATURE_MAX, LOG_TEMPERATURE_MAX
    share = (np.sqrt(5) - 1) / 2
    for _ in range(SEARCH_STEPS):
        left, right = high - share * (high - low), low + share * (high - low)
        if loss(float(np.exp(left))) < loss(float(np.exp(right))):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def best_null_offset(gaps: Floats, worths: Floats) -> tuple[float, dict[str, float]]:
    """The offset from which on 'no answer' wins where it should; 0 without mismatched questions.

    gaps: best span less 'no answer' of each question, in calibrated logits; worths: its F1, or -1 of a mismatched one.
    Also what it reaches, in percent. Of equal offsets the middle of the widest range is taken.
    """
    mismatched = worths < 0
    if not mismatched.any():
        return 0.0, {}
    order = np.argsort(gaps)
    sorted_gaps, sorted_worths = gaps[order], worths[order]
    # With the offset between the k-th and the next gap, the first k questions get 'no answer'
    told = np.concatenate([[0], np.cumsum(sorted_worths < 0)]) / mismatched.sum()
    kept = np.concatenate([[0], np.cumsum(np.where(sorted_worths < 0, 0.0, sorted_worths))])
    f1 = (kept[-1] - kept) / (~mismatched).sum()
    edges = np.concatenate([[sorted_gaps[0] - 1], sorted_gaps, [sorted_gaps[-1] + 1]])
    widths = np.diff(edges)
    best = max(range(len(told)), key=lambda k: (round(float(told[k] + f1[k]), 12), widths[k]))
    return round(float(edges[best] + edges[best + 1]) / 2, 4), {
        "questions": int((~mismatched).sum()),
        "mismatched": int(mismatched.sum()),
        "f1_when_no_answer_is_allowed": round(100 * float(f1[best]), 2),
        "f1_when_it_is_not": round(100 * float(f1[0]), 2),
        "mismatched_recognised": round(100 * float(told[best]), 2),
        "mismatched_recognised_without_offset": round(100 * float((gaps[mismatched] < 0).mean()), 2),
    }


def uncalibrated(examples: int) -> ScoreCalibration:
    """Scores as they are: for tasks without probabilities, or too few held-out examples."""
    return ScoreCalibration(calibration=Calibration(), found={"holdout_examples": examples, "temperature": 1.0})


def top_probability(logits: Floats) -> Floats:
    """Of the best label of each row, after a softmax."""
    probabilities: Floats = np.exp(logits.max(axis=-1) - log_sum_exp(logits))
    return probabilities


def log_sum_exp(values: Floats) -> Any:
    """Over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    return np.log(np.exp(values - highest).sum(axis=-1)) + highest[..., 0]


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """One question: real scores of all spans and of 'no answer'; F1 and exact match of the best, None: mismatched."""

    scores: Floats
    null: float
    f1: float | None
    exact: bool


def _judge(
    package: Package, variant: str, questions: Sequence[LabelledQuestion], parameters: qa.QaParameters
) -> list[_Judged]:
    scale = package.manifest.output_scale(variant)
    encoded = encode_all(package, questions, parameters)
    windows = [sequence for item in encoded for sequence in item.sequences()]
    logits = iter(compute(engine_of(package, variant), windows, threads=1, per_token=True).logits)
    judged = []
    for item, question in zip(encoded, questions, strict=True):
        rows = [next(logits) for _ in item.windows]
        scores = np.concatenate([part.scores for part in window_spans(item.windows, rows, parameters.max_answer_len)])
        best = qa.answers(item, rows, parameters, logit_scale=scale)[0].answer
        references = [answer.text for answer in question.answers]
        judged.append(
            _Judged(
                scores=scores.astype(np.float64) * scale,
                null=null_score(rows) * scale,
                f1=squad_metric.f1(best, references) if references else None,
                exact=bool(references) and squad_metric.exact_match(best, references) == 1.0,
            )
        )
    return judged


def _calibrated(calibration: Calibration, examples: int, loss: Callable[[float], float]) -> ScoreCalibration:
    return ScoreCalibration(
        calibration=calibration,
        found={
            "holdout_examples": examples,
            "temperature": calibration.temperature,
            "log_loss_before": round(loss(1.0), 4),
            "log_loss_after": round(loss(calibration.temperature), 4),
        },
    )
