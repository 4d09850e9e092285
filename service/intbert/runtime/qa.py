"""Span questions: a question and a context to windows, and the windows' logits to answers. Pure.

The floats here are outside of the model. No part of a context is dropped: a document has as many windows as it needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from intbert.errors import InputError
from intbert.model.tokenizer import TextTokens, Tokenizer
from intbert.runtime.answers import ModelRef, Timings, Usage, digest_of
from intbert.runtime.batch import TokenSequence
from intbert.runtime.selection import Selection
from intbert.runtime.spans import find_spans
from intbert.runtime.windows import Window, split_windows

SCORE_DIGITS = 6
Offsets = Literal["codepoint", "utf16", "utf8"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One input."""

    question: str
    context: str


@dataclass(frozen=True, kw_only=True)
class QaParameters(Selection):
    """Lengths are in tokens."""

    top_k: int = 1
    max_answer_len: int = 30
    overlap: int = 128
    max_seq_len: int = 384
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    offsets: Offsets = "codepoint"
    truncation: Literal["window", "error"] = "window"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`answer == context[start:end]` in the unit of `offsets`; empty with 0, 0 for 'no answer'."""

    answer: str
    score: float  # probability among all admissible spans of all windows, six digits
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class QaResult:
    """The answer to one request: one entry for each question in the order sent."""

    model: ModelRef
    results: tuple[tuple[Answer, ...], ...]  # best first
    usage: tuple[Usage, ...]
    digests: tuple[str, ...] | None  # None unless asked for
    timings: Timings


@dataclass(frozen=True, kw_only=True)
class EncodedQuestion:
    """The windows of one question, and what is needed to name its answers."""

    context: str
    offsets: NDArray[np.int32]  # (context tokens, 2) code points
    windows: tuple[Window, ...]
    question_tokens_dropped: int

    def sequences(self) -> list[TokenSequence]:
        """What the engine has to compute, one a window."""
        return [TokenSequence(token_ids=window.token_ids, type_ids=window.type_ids) for window in self.windows]

    @property
    def usage(self) -> Usage:
        """Computed tokens count each window's question and special tokens."""
        return Usage(
            tokens=sum(len(window.token_ids) for window in self.windows),
            windows=len(self.windows),
            truncated=self.question_tokens_dropped > 0,
            tokens_dropped=self.question_tokens_dropped,
        )


def encode_question(
    tokenizer: Tokenizer,
    question: Question,
    parameters: QaParameters,
    *,
    limit_tokens: int,
    tokens_max: int | None = None,
    field: str = "inputs",
) -> EncodedQuestion:
    """Windows of at most min(max_seq_len, limit_tokens) tokens, `tokens_max` of them together (InputError `too_many`).

    A question longer than max_question_len is an error (`truncation: error`) or cut and reported in `usage`. A context
    that needs more than one window is InputError `too_long` only with `truncation: error`.
    """
    window_tokens = min(parameters.max_seq_len, limit_tokens)
    asked = tokenizer.text_tokens(question.question, field=f"{field}.question")
    context = tokenizer.text_tokens(question.context, field=f"{field}.context")
    room_tokens = window_tokens - tokenizer.special_tokens(pair=True)
    kept = _fit_question(asked, parameters, room_tokens, field=f"{field}.question")
    total = len(kept) + len(context.token_ids) + tokenizer.special_tokens(pair=True)
    if parameters.truncation == "error" and total > window_tokens:
        limiting = "the model's limit" if window_tokens == limit_tokens else "max_seq_len"
        advice = f'send "truncation": "window", the default ({limiting} decides here)'
        raise InputError.too_long(tokens=total, limit_tokens=window_tokens, field=field, advice=advice)
    windows = split_windows(
        kept,
        context.token_ids,
        tokenizer.pair_layout(),
        window_tokens_max=window_tokens,
        overlap_tokens=parameters.overlap,
        tokens_max=tokens_max,
    )
    return EncodedQuestion(
        context=question.context,
        offsets=context.offsets,
        windows=tuple(windows),
        question_tokens_dropped=len(asked.token_ids) - len(kept),
    )


def answers(
    encoded: EncodedQuestion,
    logits: Sequence[NDArray[Any]],
    parameters: QaParameters,
    *,
    logit_scale: float,
    null_offset: float = 0.0,
) -> tuple[Answer, ...]:
    """The best spans, best first; logits: one (tokens, 2) array a window in units of `logit_scale`.

    With `handle_impossible_answer` 'no answer' is one of the candidates, at its own probability.
    """
    found = find_spans(
        encoded.windows,
        logits,
        logit_scale=logit_scale,
        answer_tokens_max=parameters.max_answer_len,
        top_k=parameters.top_k,
        with_null=parameters.handle_impossible_answer,
        null_offset=null_offset,
    )
    ranked = []
    for span in found.spans:
        reach = int(encoded.offsets[span.start_token, 0]), int(encoded.offsets[span.end_token, 1])
        start, end = visible(encoded.context, *reach)
        text = encoded.context[start:end]
        first = offset_in(encoded.context[:start], parameters.offsets)
        last = first + offset_in(text, parameters.offsets)
        ranked.append(Answer(answer=text, score=round(span.probability, SCORE_DIGITS), start=first, end=last))
    if parameters.handle_impossible_answer:
        ranked.append(Answer(answer="", score=round(found.null_probability, SCORE_DIGITS), start=0, end=0))
        ranked.sort(key=lambda answer: -answer.score)
    return tuple(ranked[: parameters.top_k])


def visible(context: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space at its ends: a byte-level token holds the space before its word."""
    text = context[start:end]
    start = end - len(text.lstrip())
    return start, start + len(text.strip())


def offset_in(text: str, unit: Offsets) -> int:
    """Length of a text in code points, UTF-16 code units (JavaScript, Java) or UTF-8 bytes."""
    if unit == "codepoint":
        return len(text)
    return len(text.encode("utf-16-le")) // 2 if unit == "utf16" else len(text.encode())


def span_digest(logits: Sequence[NDArray[Any]]) -> str:
    """Digest of a question: window by window, all starts then all ends. TypeError unless int32."""
    return digest_of(np.concatenate([np.ascontiguousarray(window.T).reshape(-1) for window in logits]))


def check_parameters(parameters: QaParameters) -> None:
    """InputError for lengths that no model could take."""
    for name, value, low in (
        ("top_k", parameters.top_k, 1),
        ("max_answer_len", parameters.max_answer_len, 1),
        ("overlap", parameters.overlap, 0),
        ("max_question_len", parameters.max_question_len, 1),
        ("max_seq_len", parameters.max_seq_len, 16),
    ):
        if value < low:
            raise InputError(
                f"{name} is {value}; it must be at least {low}", code="invalid_parameter", details={name: value}
            )


def _fit_question(asked: TextTokens, parameters: QaParameters, room_tokens: int, *, field: str) -> NDArray[np.int32]:
    """At least half of a window is left to the context."""
    limit = min(parameters.max_question_len, room_tokens // 2)
    if len(asked.token_ids) > limit and parameters.truncation == "error":
        raise InputError(
            f"{field} has {len(asked.token_ids)} tokens, more than max_question_len allows here ({limit}); "
            "shorten it or raise max_question_len and max_seq_len",
            code="too_long",
            details={"tokens": len(asked.token_ids), "limit": limit, "field": field},
        )
    return asked.token_ids[:limit]
