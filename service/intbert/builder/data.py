"""Examples of classification and regression, from local TSV, CSV or JSONL files or from a hub data set."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intbert.builder.data_split import split_apart, split_holdout
from intbert.builder.failure import DataError
from intbert.builder.recipe import DataSection, ProblemType, Recipe
from intbert.runtime.examples import LabelledText

CSV_FIELD_CHARACTERS_MAX = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file or hub split: what provenance says about it."""

    sha256: str  # of the file's bytes, or of the rows of a hub split
    rows: int


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Examples of a recipe and where they came from."""

    train: tuple[LabelledText, ...]
    holdout: tuple[LabelledText, ...]  # drawn from the training data; checkpoints are chosen on it
    dev: tuple[LabelledText, ...]
    labels: tuple[str, ...]
    sources: Mapping[str, Source]  # by path or hub name as in the recipe


@dataclass(frozen=True, kw_only=True)
class Row:
    """A raw row and its place, for errors."""

    place: str
    cells: Mapping[str | int, Any]


def load_splits(recipe: Recipe, data_root: Path) -> Splits:
    """Read, label and split the data of a classification or regression recipe. Raises DataError."""
    data = recipe.data
    train_rows, train_sources = read_rows(data, data.train, data_root)
    labels = resolve_labels(recipe, train_rows)
    dev, dev_sources = load_report_texts(recipe, data.dev, data_root, labels)
    examples = [to_example(row, recipe, labels) for row in train_rows[: data.train_examples_max]]
    split = split_apart if data.holdout_apart else split_holdout
    train, holdout = split(examples, data.holdout_fraction, recipe.holdout_seed)
    return Splits(
        train=tuple(train),
        holdout=tuple(holdout),
        dev=dev,
        labels=labels,
        sources={**train_sources, **dev_sources},
    )


def load_report_texts(
    recipe: Recipe, names: Sequence[str], data_root: Path, labels: tuple[str, ...]
) -> tuple[tuple[LabelledText, ...], dict[str, Source]]:
    """What is only reported on, at most `data.dev_examples_max`, and where it came from. Raises DataError."""
    rows, sources = read_rows(recipe.data, names, data_root)
    return tuple(to_example(row, recipe, labels) for row in rows[: recipe.data.dev_examples_max]), sources


def read_rows(data: DataSection, names: Sequence[str], data_root: Path) -> tuple[list[Row], dict[str, Source]]:
    """All rows of the named files (or hub splits), and what each is. Raises DataError."""
    rows: list[Row] = []
    sources: dict[str, Source] = {}
    for name in names:
        if data.source == "hub":
            found = _hub_rows(data, name)
            key, digest = f"{data.hub_name}/{name}", _rows_digest(found)
        else:
            content = read_bytes(data_root / name)
            key, digest = name, hashlib.sha256(content).hexdigest()
            found = list(_file_rows(data, content, str(data_root / name)))
        if not found:
            raise DataError(f"{name} has no rows")
        sources[key] = Source(sha256=digest, rows=len(found))
        rows.extend(found)
    return rows, sources


def read_bytes(path: Path) -> bytes:
    """The content of a data file. Raises DataError with the reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        hint = (
            "; relative paths start at --data or the recipe's data_root" if isinstance(error, FileNotFoundError) else ""
        )
        raise DataError(f"cannot read {path}: {error.strerror}{hint}") from error


def decode(content: bytes, path: str) -> str:
    """UTF-8 text of a data file, without byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; convert it to UTF-8") from error


def _file_rows(data: DataSection, content: bytes, path: str) -> Iterator[Row]:
    text = decode(content, path)
    return _json_rows(text, path) if data.format == "jsonl" else _table_rows(data, text, path)


def _json_rows(text: str, path: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path} line {number} is not JSON: {error.msg}") from error
        if not isinstance(cells, dict):
            raise DataError(f"{path} line {number} is not a JSON object")
        yield Row(place=f"{path} line {number}", cells=cells)


def _table_rows(data: DataSection, text: str, path: str) -> Iterator[Row]:
    csv.field_size_limit(CSV_FIELD_CHARACTERS_MAX)
    reader = csv.reader(
        text.splitlines(keepends=True) if data.quoting == "minimal" else text.replace("\r\n", "\n").split("\n"),
        delimiter="\t" if data.format == "tsv" else ",",
        quoting=csv.QUOTE_NONE if data.quoting == "none" else csv.QUOTE_MINIMAL,
        strict=data.quoting == "minimal",
    )
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from error
    names: list[str | int] = list(range(len(rows[0][1]))) if rows else []
    if data.header and rows:
        names = list(rows.pop(0)[1])
    for number, row in rows:
        if len(row) != len(names):
            raise DataError(
                f"{path} line {number} has {len(row)} columns, expected {len(names)}; check format and quoting"
            )
        yield Row(place=f"{path} line {number}", cells=dict(zip(names, row, strict=True)))


def _rows_digest(rows: Sequence[Row]) -> str:
    """SHA-256 of rows that are no file."""
    lines = (json.dumps(row.cells, sort_keys=True, default=str) + "\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hub_rows(data: DataSection, split: str) -> list[Row]:
    import datasets  # heavy, and only recipes with a hub data set need it

    try:
        table = datasets.load_dataset(data.hub_name, data.hub_config, split=split)
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise DataError(f"cannot load split {split!r} of hub data set {data.hub_name!r}: {error}") from error
    return [Row(place=f"{data.hub_name}/{split} row {n}", cells=cells) for n, cells in enumerate(table)]


def cell(row: Row, column: str | int) -> Any:
    """A cell by column name or number. Raises DataError naming the columns that exist."""
    if column not in row.cells:
        columns = ", ".join(repr(name) for name in row.cells)
        raise DataError(f"{row.place}: no column {column!r}; the columns are {columns}")
    return row.cells[column]


def resolve_labels(recipe: Recipe, rows: Sequence[Row]) -> tuple[str, ...]:
    """Label names in the order of the logits: given, or inferred from the training rows in sorted order."""
    if recipe.model.problem_type == "regression":
        return ()
    if recipe.model.labels:
        return recipe.model.labels
    values = {value for row in rows for value in _label_names(row, recipe.data, recipe.model.problem_type)}
    if len(values) < 2:
        raise DataError(
            f"the training data has {len(values)} distinct label(s) {sorted(values)}, at least 2 are needed"
        )
    numbers = all(value.isdecimal() for value in values)
    return tuple(sorted(values, key=int) if numbers else sorted(values))


def _label_names(row: Row, data: DataSection, problem_type: ProblemType) -> list[str]:
    """Names (after `label_values`) that a row's label cell holds: one, or several of a multi-label row."""
    raw = cell(row, data.columns.label)
    if problem_type == "multi_label_classification":
        parts = (
            raw if isinstance(raw, list | tuple) else [part for part in str(raw).split(data.label_separator) if part]
        )
    else:
        parts = [raw]
    if not data.label_values:
        return [str(part) for part in parts]
    for part in parts:
        if str(part) not in data.label_values:
            known = ", ".join(sorted(data.label_values))
            raise DataError(f"{row.place}: unknown label value {part!r}; label_values has {known}")
    return [data.label_values[str(part)] for part in parts]


def to_example(row: Row, recipe: Recipe, labels: tuple[str, ...]) -> LabelledText:
    """A row's texts and label. Raises DataError for a missing column, an empty text or an unknown label."""
    columns = recipe.data.columns
    text = _text(row, columns.text)
    pair = None if columns.text_pair is None else _text(row, columns.text_pair)
    return LabelledText(text=text, text_pair=pair, label=_label(row, recipe, labels))


def _text(row: Row, column: str | int) -> str:
    text = cell(row, column)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{row.place}: column {column!r} must hold a text, got {text!r}")
    return text


def _label(row: Row, recipe: Recipe, labels: tuple[str, ...]) -> int | tuple[int, ...] | float:
    if recipe.model.problem_type == "regression":
        return _score(row, recipe.data.columns.label)
    index = {name: number for number, name in enumerate(labels)}
    names = _label_names(row, recipe.data, recipe.model.problem_type)
    if not recipe.data.label_values:  # a file may hold label numbers while the recipe names the labels
        index = {**{str(number): number for number in range(len(labels))}, **index}
    if unknown := [name for name in names if name not in index]:
        raise DataError(f"{row.place}: unknown label {unknown[0]!r}; the labels are {', '.join(labels)}")
    numbers = tuple(index[name] for name in names)
    return numbers if recipe.model.problem_type == "multi_label_classification" else numbers[0]


def _score(row: Row, column: str | int) -> float:
    raw = cell(row, column)
    try:
        score = float(raw)
    except (TypeError, ValueError) as error:
        raise DataError(f"{row.place}: column {column!r} must hold a number, got {raw!r}") from error
    if score != score or score in (float("inf"), float("-inf")):
        raise DataError(f"{row.place}: column {column!r} must be finite, got {raw!r}")
    return score
