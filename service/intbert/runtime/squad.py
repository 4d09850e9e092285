"""Questions from files in the format of SQuAD 1.1, checked: every answer stands where its offset says."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intbert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class LabelledAnswer:
    """An answer's text and its offset in the context, in code points."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True)
class LabelledQuestion:
    """One question about one context, with the answers that annotators gave."""

    id: str
    text: str
    context: str
    answers: tuple[LabelledAnswer, ...]


def read_squad(path: Path) -> list[LabelledQuestion]:
    """All questions of a file. InputError names the file and the question, and says what is wrong."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read as UTF-8 text: {error}", code="unreadable_file") from error
    return [question for paragraph in parse_squad(content, str(path)) for question in paragraph]


def parse_squad(content: str, where: str) -> list[list[LabelledQuestion]]:
    """The questions of a file's content, grouped by paragraph; paragraphs without questions are left out."""
    try:
        articles = json.loads(content)["data"]
        groups = [list(_paragraph(item, where)) for article in articles for item in article["paragraphs"]]
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}", code="unreadable_file") from error
    except (KeyError, TypeError) as error:
        message = f"{where} is not in the format of SQuAD 1.1: missing or misplaced {error}"
        raise InputError(message, code="unreadable_file") from error
    if not any(groups):
        raise InputError(f"{where} has no questions", code="empty_file")
    return [group for group in groups if group]


def check_question(question: LabelledQuestion, where: str) -> None:
    """InputError unless the question has a text, an answer, and offsets at which the context holds the answer."""
    place = f"{where}, question {question.id!r}"
    if not question.text.strip():
        raise InputError(f"{place}: the question is empty", code="invalid_question")
    if not question.answers:
        message = f"{place}: no answer; unanswerable questions are not supported"
        raise InputError(message, code="invalid_question")
    for answer in question.answers:
        found = question.context[answer.start : answer.start + len(answer.text)] if answer.start >= 0 else ""
        if not answer.text or found != answer.text:
            message = f"{place}: answer {answer.text!r} is not at offset {answer.start}; there is {found!r}"
            raise InputError(message, code="invalid_question")


def _paragraph(item: Mapping[str, Any], where: str) -> Iterator[LabelledQuestion]:
    for entry in item["qas"]:
        answers = tuple(
            LabelledAnswer(text=answer["text"], start=answer["answer_start"]) for answer in entry["answers"]
        )
        question = LabelledQuestion(
            id=str(entry["id"]), text=entry["question"], context=item["context"], answers=answers
        )
        check_question(question, where)
        yield question
