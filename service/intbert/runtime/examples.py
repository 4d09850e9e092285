"""Labelled texts from a local file, for evaluation."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intbert.errors import InputError
from intbert.model.manifest import Manifest

FIELD_CHARACTERS_MAX = 16 * 2**20
MULTI_LABEL_SEPARATOR = ","


@dataclass(frozen=True, kw_only=True)
class LabelledText:
    """One example. `label`: index of a label, several indices (multi-label), or a score (regression)."""

    text: str
    text_pair: str | None = None
    label: int | tuple[int, ...] | float


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names, or numbers from 0 (needed without a header). None: the usual names are tried."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    header: bool = True


# Tried in this order when a column is not named
USUAL_TEXT = ("sentence", "text", "sentence1", "#1 String", "question1", "premise")
USUAL_PAIR = ("sentence2", "text_pair", "#2 String", "question2", "hypothesis")
USUAL_LABEL = ("label", "score", "Quality", "labels")


def read_examples(path: Path, manifest: Manifest, columns: Columns | None = None) -> list[LabelledText]:
    """Rows of a .tsv (nothing is quoted), .csv or .jsonl file. InputError names file, line, and what is wrong."""
    wanted = columns or Columns()
    rows = list(_rows(path, header=wanted.header))
    if not rows:
        raise InputError(f"{path} has no rows", code="empty_file")
    names = list(rows[0][1])
    text = _column(wanted.text, USUAL_TEXT, names, path, "text")
    label = _column(wanted.label, USUAL_LABEL, names, path, "label")
    pair = wanted.text_pair or (next((name for name in USUAL_PAIR if name in names), None) if not wanted.text else None)
    return [
        LabelledText(
            text=str(_cell(row, text, place)),
            text_pair=None if pair is None else str(_cell(row, pair, place)),
            label=_label(_cell(row, label, place), manifest, place),
        )
        for place, row in rows
    ]


def read_texts(path: Path) -> list[tuple[str, str | None]]:
    """One text a line, or a pair with a tab between. InputError when there is none."""
    lines = [line.split("\t") for line in _read(path).split("\n") if line.strip()]
    if not lines:
        raise InputError(f"{path} has no texts", code="empty_file")
    return [
        (parts[0], parts[1] if len(parts) > 1 and parts[1].strip() else None) for parts in lines if parts[0].strip()
    ]


def _rows(path: Path, *, header: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, cells by column name or number)."""
    if path.suffix in (".jsonl", ".json"):
        yield from _json_rows(path)
    elif path.suffix in (".tsv", ".csv", ".txt"):
        yield from _table_rows(path, header=header)
    else:
        raise InputError(f"{path}: expected a .tsv, .csv or .jsonl file", code="unknown_format")


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path} line {number} is not JSON: {error}", code="malformed_file") from error
        if not isinstance(cells, dict):
            raise InputError(f"{path} line {number} is not a JSON object", code="malformed_file")
        yield f"{path} line {number}", cells


def _table_rows(path: Path, *, header: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    text = _read(path)
    if path.suffix == ".csv":
        csv.field_size_limit(FIELD_CHARACTERS_MAX)
        table = list(csv.reader(text.splitlines(keepends=True)))
    else:
        table = [line.split("\t") for line in text.replace("\r\n", "\n").split("\n")]
    numbered = [(number, row) for number, row in enumerate(table, start=1) if row and row != [""]]
    if not numbered:
        return
    names = numbered.pop(0)[1] if header else [str(index) for index in range(len(numbered[0][1]))]
    for number, row in numbered:
        if len(row) != len(names):
            raise InputError(
                f"{path} line {number} has {len(row)} columns, the first line has {len(names)}", code="malformed_file"
            )
        yield f"{path} line {number}", dict(zip(names, row, strict=True))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}", code="unreadable_file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 at byte {error.start}", code="malformed_file") from error


def _column(asked: str | None, usual: Sequence[str], names: Sequence[str], path: Path, what: str) -> str:
    chosen = asked if asked is not None else next((name for name in usual if name in names), None)
    if chosen is None or chosen not in names:
        missing = f"no column {asked!r}" if asked is not None else f"can't tell which column is the {what}"
        raise InputError(
            f"{path}: {missing}; name one with --{what}-column, there are: {', '.join(names)}", code="missing_column"
        )
    return chosen


def _cell(row: dict[str, Any], column: str, place: str) -> Any:
    if column not in row:
        raise InputError(f"{place}: no column {column!r}; there are: {', '.join(row)}", code="missing_column")
    return row[column]


def _label(value: Any, manifest: Manifest, place: str) -> int | tuple[int, ...] | float:
    if manifest.problem_type == "regression":
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"{place}: the label {value!r} is not a number", code="unknown_label") from error
    if manifest.problem_type == "multi_label_classification":
        parts = value if isinstance(value, list) else [part for part in str(value).split(MULTI_LABEL_SEPARATOR) if part]
        return tuple(sorted(_label_index(part, manifest, place) for part in parts))
    return _label_index(value, manifest, place)


def _label_index(value: Any, manifest: Manifest, place: str) -> int:
    """By name, else by number."""
    name = str(value).strip()
    if name in manifest.labels:
        return manifest.labels.index(name)
    if name.isdecimal() and int(name) < len(manifest.labels):
        return int(name)
    raise InputError(f"{place}: unknown label {value!r}; known: {', '.join(manifest.labels)}", code="unknown_label")
