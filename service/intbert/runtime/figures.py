"""What a variant reached on a set of examples, how sure that is, and how it compares with a baseline."""

from typing import Any

from intbert.runtime.bootstrap import LEVEL_PERCENT, RESAMPLES, SEED, interval, resampled
from intbert.runtime.evaluate import METRIC_DIGITS, Evaluation
from intbert.runtime.outcomes import LabelOutcomes, agreement
from intbert.runtime.scores import Floats, calibration_error

JsonObject = dict[str, Any]
BOOTSTRAP: JsonObject = {"level_percent": LEVEL_PERCENT, "resamples": RESAMPLES, "seed": SEED}


def figures(found: Evaluation, baseline: Evaluation | None = None) -> JsonObject:
    """A plain document, all in percent.

    examples, metrics; intervals: metric -> [low, high]; calibration_error: of single-label classification;
    against: what `comparison` says, when a baseline answered the same examples.
    """
    document: JsonObject = {
        "examples": found.examples,
        "metrics": found.metrics,
        "intervals": {name: _ends(values) for name, values in _resampled(found).items()},
    }
    if isinstance(found.outcomes, LabelOutcomes):
        error = calibration_error(found.outcomes.confidence, ~found.outcomes.wrong)
        document["calibration_error"] = round(error, METRIC_DIGITS)
    if baseline is not None:
        document["against"] = comparison(found, baseline)
    return document


def comparison(found: Evaluation, baseline: Evaluation) -> JsonObject:
    """variant: the baseline; differences: metric -> value (found less baseline) and its paired interval; agreement.

    agreement: percent of the examples on which both say the same; None for scores. Raises ValueError unless both
    answered equally many examples.
    """
    if found.examples != baseline.examples:
        raise ValueError(f"{found.examples} examples can't be paired with {baseline.examples}")
    ours, theirs = _resampled(found), _resampled(baseline)
    share = agreement(found.outcomes, baseline.outcomes)
    return {
        "variant": baseline.variant,
        "differences": {
            name: {
                "value": round(value - baseline.metrics[name], METRIC_DIGITS),
                "interval": _ends(ours[name] - theirs[name]),
            }
            for name, value in found.metrics.items()
        },
        "agreement": None if share is None else round(float(share), METRIC_DIGITS),
    }


def signed(value: float) -> str:
    """A difference as people read it: two digits, and no sign of loss before what rounds to nothing."""
    return f"{round(value, 2) + 0.0:+.2f}"


def _resampled(found: Evaluation) -> dict[str, Floats]:
    """The same draws for every evaluation of as many examples."""
    return resampled(found.outcomes.metrics, found.examples)


def _ends(values: Floats) -> list[float]:
    return [round(end, METRIC_DIGITS) for end in interval(values)]
