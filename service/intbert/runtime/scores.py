"""Metrics of classification and regression, in percent."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def classification_metrics(predicted: Indices, expected: Indices, labels: int) -> dict[str, float]:
    """Accuracy and Matthews correlation; for two labels also the F1 of the second."""
    metrics = {
        "accuracy": 100 * float(np.mean(predicted == expected)),
        "matthews": 100 * matthews(predicted, expected, labels),
    }
    if labels == 2:
        metrics["f1"] = 100 * f1(predicted == 1, expected == 1)
    return metrics


def multi_label_metrics(predicted: NDArray[np.bool_], expected: NDArray[np.bool_]) -> dict[str, float]:
    """Both (examples, labels): share of examples with all labels right, and F1 over all decisions."""
    return {
        "accuracy": 100 * float(np.mean(np.all(predicted == expected, axis=1))),
        "f1_micro": 100 * f1(predicted.reshape(-1), expected.reshape(-1)),
    }


def regression_metrics(predicted: Floats, expected: Floats) -> dict[str, float]:
    """Correlation of values and of ranks."""
    return {
        "pearson": 100 * pearson(predicted, expected),
        "spearman": 100 * pearson(ranks(predicted), ranks(expected)),
    }


def f1(predicted: NDArray[np.bool_], expected: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall; 0 when nothing is predicted and nothing expected."""
    hits = int(np.sum(predicted & expected))
    total = int(np.sum(predicted)) + int(np.sum(expected))
    return 2 * hits / total if total else 0.0


def matthews(predicted: Indices, expected: Indices, labels: int) -> float:
    """Correlation of the confusion matrix (Gorodkin 2004, eq. 8); 0 when a side is constant."""
    confusion = np.zeros((labels, labels))
    np.add.at(confusion, (expected, predicted), 1)
    total, hits = confusion.sum(), float(np.trace(confusion))
    true, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    spread = (total**2 - float(guessed @ guessed)) * (total**2 - float(true @ true))
    return float(hits * total - true @ guessed) / math.sqrt(spread) if spread > 0 else 0.0


def pearson(a: Floats, b: Floats) -> float:
    """Linear correlation; 0 when a side is constant."""
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else 0.0


def ranks(values: Floats) -> Floats:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
