"""What is sent: real texts of mixed lengths, from files of the user or from the project's own prose."""

import csv
import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from loadtest.generator import Call

PROSE = ("LICENSE", "README.md", "CONTRIBUTING.md", "docs/*.md", "docs/decisions/*.md")
QUESTIONS = (
    "What must hold?",
    "Who may do this, and under which condition?",
    "Which value is used?",
    "When is this allowed?",
    "What happens to the rest of the text when it is longer than the limit?",
    "Why was this decided?",
)
CALLS_MAX = 2000

Item = TypeVar("Item")


class TextError(Exception):
    """A file of texts can't be used; the message names the file and what to change."""


def classify_calls(path: Path | None, *, variant: str, root: Path, seed: int) -> list[Call]:
    """One text a call. `path`: a TSV with a header and a column `sentence` or `text`, or plain lines."""
    texts = _texts_of(path) if path else _sentences(root)
    return [
        Call(path="/classify", body={"inputs": text, "parameters": {"variant": variant, "truncation": "truncate"}})
        for text in _shuffled(texts, seed, source=path or root)
    ]


def qa_calls(path: Path | None, *, variant: str, root: Path, seed: int) -> list[Call]:
    """One question and context a call. `path`: a file in SQuAD's JSON format."""
    pairs = _squad_pairs(path) if path else list(zip(itertools.cycle(QUESTIONS), _paragraphs(root), strict=False))
    return [
        Call(path="/qa", body={"question": question, "context": context, "parameters": {"variant": variant}})
        for question, context in _shuffled(pairs, seed, source=path or root)
    ]


def _shuffled(items: Sequence[Item], seed: int, *, source: Path) -> list[Item]:
    if not items:
        raise TextError(f"{source} has no text to send; name a file with --classify-texts or --qa-texts")
    return random.Random(seed).sample(items, k=min(len(items), CALLS_MAX))


def _texts_of(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path} can't be read as UTF-8 text: {error}") from error
    header = lines[0].split("\t") if lines else []
    column = next((name for name in ("sentence", "text") if name in header), None)
    if column is None:
        return [line.strip() for line in lines if line.strip()]
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row[column] for row in rows if row[column] and row[column].strip()]


def _squad_pairs(path: Path) -> list[tuple[str, str]]:
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        return [
            (question["question"], paragraph["context"])
            for article in articles
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise TextError(f"{path} is no file in SQuAD's JSON format: {type(error).__name__}: {error}") from error


def _paragraphs(root: Path) -> list[str]:
    blocks = itertools.chain.from_iterable(_blocks(path) for pattern in PROSE for path in sorted(root.glob(pattern)))
    return [block for block in blocks if 20 <= len(block.split()) <= 250]


def _blocks(path: Path) -> Iterator[str]:
    """Paragraphs of prose: no code, no tables, no headings."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        if not block.lstrip().startswith(("#", "|")):
            yield " ".join(re.sub(r"[*`\[\]]", "", block).split())


def _sentences(root: Path) -> list[str]:
    parts = itertools.chain.from_iterable(re.split(r"(?<=[.;:])\s+", block) for block in _paragraphs(root))
    return [part for part in parts if 3 <= len(part.split()) <= 80]
