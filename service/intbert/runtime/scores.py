"""Metrics of classification and regression, in percent: the one definition of each.

Every metric reduces the last axis of its arguments, the examples, so that thousands of resamples are one call:
arrays (resamples, examples) give (resamples,), and arrays (examples,) give one number as an array without axes.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
CALIBRATION_BINS = 15


def classification_metrics(predicted: Indices, expected: Indices, labels: int) -> dict[str, Floats]:
    """Accuracy and Matthews correlation; for two labels also the F1 of the second. Both (..., examples)."""
    metrics = {
        "accuracy": percent(np.mean(predicted == expected, axis=-1)),
        "matthews": percent(matthews(predicted, expected, labels)),
    }
    if labels == 2:
        metrics["f1"] = percent(f1(predicted == 1, expected == 1))
    return metrics


def multi_label_metrics(predicted: Flags, expected: Flags) -> dict[str, Floats]:
    """Both (..., examples, labels): share of examples with all labels right, and F1 over all decisions."""
    decisions = (*predicted.shape[:-2], -1)
    return {
        "accuracy": percent(np.mean(np.all(predicted == expected, axis=-1), axis=-1)),
        "f1_micro": percent(f1(predicted.reshape(decisions), expected.reshape(decisions))),
    }


def regression_metrics(predicted: Floats, expected: Floats) -> dict[str, Floats]:
    """Correlation of values and of ranks. Both (..., examples)."""
    return {
        "pearson": percent(pearson(predicted, expected)),
        "spearman": percent(pearson(ranks(predicted), ranks(expected))),
    }


def f1(predicted: Flags, expected: Flags) -> Floats:
    """Harmonic mean of precision and recall; 0 when nothing is predicted and nothing expected."""
    hits = np.sum(predicted & expected, axis=-1)
    return _ratio(2.0 * hits, np.sum(predicted, axis=-1) + np.sum(expected, axis=-1))


def matthews(predicted: Indices, expected: Indices, labels: int) -> Floats:
    """Correlation of the confusion matrix (Gorodkin 2004, eq. 8); 0 when a side is constant."""
    confusion = confusion_matrix(predicted, expected, labels)
    total, hits = confusion.sum(axis=(-2, -1)), np.trace(confusion, axis1=-2, axis2=-1)
    true, guessed = confusion.sum(axis=-1), confusion.sum(axis=-2)
    spread = (total**2 - np.sum(guessed**2, axis=-1)) * (total**2 - np.sum(true**2, axis=-1))
    return _ratio(hits * total - np.sum(true * guessed, axis=-1), np.sqrt(spread))


def confusion_matrix(predicted: Indices, expected: Indices, labels: int) -> Floats:
    """(..., labels, labels): how many examples of each expected label got each predicted one."""
    cells = (expected * labels + predicted).reshape(-1, expected.shape[-1])
    first = np.arange(len(cells))[:, np.newaxis] * labels**2  # each resample counts into cells of its own
    counts = np.bincount((cells + first).reshape(-1), minlength=len(cells) * labels**2)
    return counts.reshape(*expected.shape[:-1], labels, labels).astype(np.float64)


def pearson(a: Floats, b: Floats) -> Floats:
    """Linear correlation; 0 when a side is constant."""
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.sum(a * a, axis=-1) * np.sum(b * b, axis=-1))
    return _ratio(np.sum(a * b, axis=-1), spread)


def ranks(values: Floats) -> Floats:
    """1 for the smallest of the last axis; equal values share the mean of their ranks."""
    distinct, codes = np.unique(values, return_inverse=True)
    rows = codes.reshape(-1, values.shape[-1])
    first = np.arange(len(rows))[:, np.newaxis] * len(distinct)
    counts = np.bincount((rows + first).reshape(-1), minlength=len(rows) * len(distinct)).reshape(len(rows), -1)
    shared = np.cumsum(counts, axis=-1) - (counts - 1) / 2
    return np.take_along_axis(shared, rows, axis=-1).reshape(values.shape)


def calibration_error(confidence: Floats, correct: Flags, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) in percent: equal-width bins, each closed on its right.

    confidence (examples,): probability of the predicted label; correct (examples,): whether that is the expected one.
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    place = np.digitize(confidence, edges, right=True)
    surplus = np.bincount(place, weights=confidence - correct, minlength=bins)
    return float(percent(np.sum(np.abs(surplus)) / len(confidence)))


def percent(share: Floats | float) -> Floats:
    """A share of one, times 100."""
    return np.multiply(100.0, share, dtype=np.float64)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below; 0 where nothing is below."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=np.greater(below, 0))
