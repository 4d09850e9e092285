"""Questions of span QA from files in the format of SQuAD 1.1, and their training windows."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from intbert.builder.data import Source, decode, read_bytes, split_holdout
from intbert.builder.failure import DataError
from intbert.builder.features import Feature
from intbert.builder.recipe import Recipe, SpanSection

ENCODE_QUESTIONS = 512


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer's text and its offset in the context, in code points."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question about one context, with the answers that annotators gave."""

    id: str
    text: str
    context: str
    answers: tuple[Answer, ...]

    def most_common_answer(self) -> Answer:
        """What training aims at: the answer given most often, the first of several."""
        return Counter(self.answers).most_common(1)[0][0]


@dataclass(frozen=True, kw_only=True)
class QuestionSplits:
    """Questions of a recipe and where they came from."""

    train: tuple[Question, ...]
    holdout: tuple[Question, ...]  # other contexts than those of `train`
    dev: tuple[Question, ...]
    sources: Mapping[str, Source]


def load_questions(recipe: Recipe, data_root: Path) -> QuestionSplits:
    """Read and split the data of a span QA recipe. Raises DataError naming file and question."""
    sources: dict[str, Source] = {}
    groups: list[list[Question]] = []
    for name in recipe.data.train:
        groups.extend(_read_paragraphs(name, data_root, sources))
    dev = [
        question
        for name in recipe.data.dev
        for group in _read_paragraphs(name, data_root, sources)
        for question in group
    ]
    check_unique([question for group in groups for question in group])
    kept, held = split_holdout(
        _first(groups, recipe.data.train_examples_max), recipe.data.holdout_fraction, recipe.seed
    )
    return QuestionSplits(
        train=tuple(question for group in kept for question in group),
        holdout=tuple(question for group in held for question in group),
        dev=tuple(dev[: recipe.data.dev_examples_max]),
        sources=sources,
    )


def check_unique(questions: Sequence[Question]) -> None:
    """Raise DataError when two questions share an id."""
    identifier, count = Counter(question.id for question in questions).most_common(1)[0]
    if count > 1:
        raise DataError(f"question id {identifier!r} occurs {count} times in the training files; ids must be unique")


def _first(groups: Sequence[list[Question]], count: int | None) -> list[list[Question]]:
    """The first groups with together at least `count` questions."""
    if count is None:
        return list(groups)
    chosen: list[list[Question]] = []
    for group in groups:
        if sum(map(len, chosen)) >= count:
            break
        chosen.append(group)
    return chosen


def _read_paragraphs(name: str, data_root: Path, sources: dict[str, Source]) -> list[list[Question]]:
    """The questions of one file, grouped by paragraph."""
    path = str(data_root / name)
    content = read_bytes(data_root / name)
    try:
        articles = json.loads(decode(content, path))["data"]
        groups = [list(_paragraph(item, path)) for article in articles for item in article["paragraphs"]]
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} is not in the format of SQuAD 1.1: missing or misplaced {error}") from error
    if not any(groups):
        raise DataError(f"{path} has no questions")
    sources[name] = Source(sha256=hashlib.sha256(content).hexdigest(), rows=sum(map(len, groups)))
    return [group for group in groups if group]


def _paragraph(item: Mapping[str, Any], path: str) -> Iterator[Question]:
    for entry in item["qas"]:
        answers = tuple(Answer(text=answer["text"], start=answer["answer_start"]) for answer in entry["answers"])
        question = Question(id=str(entry["id"]), text=entry["question"], context=item["context"], answers=answers)
        check_question(question, path)
        yield question


def check_question(question: Question, path: str) -> None:
    """Raise DataError unless the question has a text, an answer, and offsets at which the context holds the answer."""
    where = f"{path}, question {question.id!r}"
    if not question.text.strip():
        raise DataError(f"{where}: the question is empty")
    if not question.answers:
        raise DataError(f"{where}: no answer; unanswerable questions are not supported")
    for answer in question.answers:
        found = question.context[answer.start : answer.start + len(answer.text)] if answer.start >= 0 else ""
        if not answer.text or found != answer.text:
            raise DataError(f"{where}: answer {answer.text!r} is not at offset {answer.start}; there is {found!r}")


def window_features(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast, span: SpanSection
) -> list[Feature]:
    """Training windows: input_ids, token_type_ids, attention_mask (tokens,), start_positions and end_positions.

    A window that does not hold the whole answer points at its first token, so the model learns to score it low.
    """
    features: list[Feature] = []
    for first in range(0, len(questions), ENCODE_QUESTIONS):
        part = questions[first : first + ENCODE_QUESTIONS]
        encoded = tokenizer(
            [cut_question(question.text, tokenizer, span.question_tokens_max) for question in part],
            [question.context for question in part],
            truncation="only_second",
            max_length=span.window_tokens,
            stride=span.overlap_tokens,
            return_overflowing_tokens=True,
            return_token_type_ids=True,
            return_offsets_mapping=True,
        )
        for index, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            start, end = answer_tokens(
                part[owner].most_common_answer(), encoded["offset_mapping"][index], encoded.sequence_ids(index)
            )
            features.append(
                {
                    **{name: encoded[name][index] for name in ("input_ids", "token_type_ids", "attention_mask")},
                    "start_positions": start,
                    "end_positions": end,
                }
            )
    return features


def cut_question(text: str, tokenizer: PreTrainedTokenizerFast, tokens_max: int) -> str:
    """The question's text up to its `tokens_max`-th token."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(offsets) <= tokens_max else text[: offsets[tokens_max - 1][1]]


def answer_tokens(
    answer: Answer, offsets: Sequence[tuple[int, int]], sequence_ids: Sequence[int | None]
) -> tuple[int, int]:
    """First and last token of the answer in a window, (0, 0) when the window does not hold all of it.

    offsets: code points of each token in its own text; sequence_ids: 1 for the context's tokens.
    """
    context = [index for index, owner in enumerate(sequence_ids) if owner == 1]
    stop = answer.start + len(answer.text)
    if not context or offsets[context[0]][0] > answer.start or offsets[context[-1]][1] < stop:
        return 0, 0
    start = max(index for index in context if offsets[index][0] <= answer.start)
    end = min(index for index in context if offsets[index][1] >= stop)
    return (start, end) if start <= end else (0, 0)
