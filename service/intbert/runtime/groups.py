"""Kinds of examples that a model may answer better or worse: by length, negation, label, question, answer, context.

Every partition puts each example into one group, but that by labels of a text with several: it is in the group of each.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intbert.model.manifest import Manifest
from intbert.runtime.examples import LabelledText
from intbert.runtime.scores import Indices
from intbert.runtime.squad import LabelledQuestion

NEGATION = re.compile(
    r"\b(?:not|no|never|nothing|neither|nor|without|none|nobody|nowhere|cannot)\b|n ?['’]t\b", re.IGNORECASE
)
QUESTION_WORD = re.compile(r"\b(how (?:many|much)|how|who|whom|whose|what|when|where|which|why)\b", re.IGNORECASE)
QUESTION_TYPES = ("who", "what", "when", "where", "which", "why", "how many or much", "how", "other")
SAME_TYPE = {"whom": "who", "whose": "who", "how many": "how many or much", "how much": "how many or much"}
ANSWER_WORDS = {"1 word": 1, "2 or 3 words": 3, "4 to 7 words": 7}  # up to so many
LONGEST_ANSWERS = "8 words or more"
QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Examples that have something in common."""

    by: str  # what the partition is by
    name: str
    members: Indices  # (examples of the group,) their indices, at least one


def text_groups(examples: Sequence[LabelledText], tokens: Indices, manifest: Manifest) -> list[Group]:
    """By length in tokens, by negation (of a pair: in either text), and by expected label; tokens (examples,)."""
    texts = (f"{item.text}\n{item.text_pair or ''}" for item in examples)
    negated = ["found" if NEGATION.search(text) else "none" for text in texts]
    return [
        *length_groups(tokens),
        *_partition("negation", negated, ("found", "none")),
        *_label_groups(examples, manifest),
    ]


def question_groups(questions: Sequence[LabelledQuestion], windows: Indices) -> list[Group]:
    """By question type, by length of the first expected answer, and by context length; windows (questions,)."""
    answers = [answer_length(item.answers[0].text) for item in questions]
    contexts = np.where(windows > 1, "several windows", "one window").tolist()
    return [
        *_partition("question", [question_type(item.text) for item in questions], QUESTION_TYPES),
        *_partition("answer", answers, (*ANSWER_WORDS, LONGEST_ANSWERS)),
        *_partition("context", contexts, ("one window", "several windows")),
    ]


def length_groups(tokens: Indices) -> list[Group]:
    """Quarters of the examples by their length; fewer where many have the same. tokens (examples,)."""
    edges = np.unique(np.quantile(tokens, QUARTERS, method="inverted_cdf"))
    place = np.digitize(tokens, edges, right=True)
    groups = []
    for index in np.unique(place):
        members = np.flatnonzero(place == index)
        low, high = int(tokens[members].min()), int(tokens[members].max())
        name = f"{low} tokens" if low == high else f"{low} to {high} tokens"
        groups.append(Group(by="length", name=name, members=members))
    return groups


def question_type(question: str) -> str:
    """By the first question word, wherever it stands: "In which year" is "which"."""
    found = QUESTION_WORD.search(question)
    word = found[1].lower() if found else "other"
    return SAME_TYPE.get(word, word)


def answer_length(answer: str) -> str:
    """The group of an expected answer, by words between spaces."""
    words = len(answer.split())
    return next((name for name, most in ANSWER_WORDS.items() if words <= most), LONGEST_ANSWERS)


def _label_groups(examples: Sequence[LabelledText], manifest: Manifest) -> list[Group]:
    if manifest.problem_type == "regression":
        return []
    members: Mapping[int, list[int]] = {index: [] for index in range(len(manifest.labels))}
    for example, item in enumerate(examples):
        for label in item.label if isinstance(item.label, tuple) else (int(item.label),):
            members[label].append(example)
    return [
        Group(by="label", name=name, members=np.array(members[index]))
        for index, name in enumerate(manifest.labels)
        if members[index]
    ]


def _partition(by: str, names: Sequence[str], order: Iterable[str]) -> list[Group]:
    """names: of each example's group; groups without examples are left out."""
    column: NDArray[np.str_] = np.array(names)
    found = ((name, np.flatnonzero(column == name)) for name in order)
    return [Group(by=by, name=name, members=members) for name, members in found if len(members)]
