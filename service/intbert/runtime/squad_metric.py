"""Exact match and F1 as SQuAD 1.1 defines them (Rajpurkar et al. 2016, section 6.1)."""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from intbert.runtime.scores import Floats, percent

ARTICLES = re.compile(r"\b(a|an|the)\b")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalised prediction equals any reference, else 0."""
    return float(any(normalise(prediction) == normalise(reference) for reference in references))


def f1(prediction: str, references: Sequence[str]) -> float:
    """Best overlap of words with any reference, 0 to 1."""
    return max(_overlap(normalise(prediction).split(), normalise(reference).split()) for reference in references)


def question_metrics(exact: Floats, overlap: Floats) -> dict[str, Floats]:
    """Means over questions in percent; what `exact_match` and `f1` gave each, both (..., questions)."""
    return {
        "exact_match": percent(np.mean(exact, axis=-1)),
        "f1": percent(np.mean(overlap, axis=-1)),
    }


def _overlap(prediction: list[str], reference: list[str]) -> float:
    common = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * common / (len(prediction) + len(reference)) if common else 0.0
