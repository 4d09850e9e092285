"""What can be asked for: inputs and named options of each task. An option that is left out has the server's default."""

from dataclasses import dataclass
from typing import Literal, TypedDict


@dataclass(frozen=True, kw_only=True)
class TextPair:
    """Two texts that belong together, for models that judge pairs."""

    text: str
    text_pair: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and the text that may hold its answer, of any length."""

    question: str
    context: str


class CommonOptions(TypedDict, total=False):
    """Of both tasks."""

    model: str
    version: str
    return_digest: bool
    timeout_ms: int


class ClassifyComparisonOptions(CommonOptions, total=False):
    """Of a classification, whoever answers."""

    top_k: int
    function_to_apply: Literal["softmax", "sigmoid", "none"]
    truncation: Literal["error", "truncate"]


class ClassifyOptions(ClassifyComparisonOptions, total=False):
    """Of POST /classify."""

    variant: str


class QaComparisonOptions(CommonOptions, total=False):
    """Of questions, whoever answers; lengths in tokens."""

    top_k: int
    max_answer_len: int
    overlap: int
    max_seq_len: int
    max_question_len: int
    handle_impossible_answer: bool
    offsets: Literal["codepoint", "utf16", "utf8"]
    truncation: Literal["window", "error"]


class QaOptions(QaComparisonOptions, total=False):
    """Of POST /qa."""

    variant: str
