"""Labelled files: the usual formats are read, and everything wrong is named with file and line."""

from pathlib import Path

import pytest

from intbert.errors import InputError
from intbert.model.manifest import Manifest
from intbert.runtime.examples import Columns, LabelledText, read_examples, read_texts
from tests.arithmetic.programs import random_program
from tests.model.packages import dimensions, make_manifest


def manifest(problem_type: str = "single_label_classification", labels: int = 2) -> Manifest:
    size = dimensions(labels=labels)
    return make_manifest(random_program(1, size), size, problem_type=problem_type)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_usual_columns_are_found(tmp_path: Path) -> None:
    """GLUE files need no options; a quote in a TSV is an ordinary character; label numbers and names both count."""
    sst = write(tmp_path, "dev.tsv", 'sentence\tlabel\na "good film\t1\nbad\tlabel0\n')
    assert read_examples(sst, manifest()) == [
        LabelledText(text='a "good film', label=1),
        LabelledText(text="bad", label=0),
    ]
    mrpc = write(tmp_path, "pair.tsv", "Quality\t#1 ID\t#1 String\t#2 String\n1\t7\ta\tb\n")
    assert read_examples(mrpc, manifest()) == [LabelledText(text="a", text_pair="b", label=1)]


def test_named_and_numbered_columns(tmp_path: Path) -> None:
    """CoLA has no header; columns are then numbers from 0."""
    cola = write(tmp_path, "cola.tsv", "gj04\t1\t\tThe sailors rode.\ngj05\t0\t*\tSailors the rode.\n")
    columns = Columns(text="3", label="1", header=False)
    assert [item.label for item in read_examples(cola, manifest(), columns)] == [1, 0]


def test_csv_and_jsonl(tmp_path: Path) -> None:
    """Quoting in CSV, lists of labels in JSON."""
    table = write(tmp_path, "a.csv", 'text,label\n"one, ""two""\nthree",0\n')
    assert read_examples(table, manifest())[0].text == 'one, "two"\nthree'
    lines = write(tmp_path, "a.jsonl", '{"text": "x", "label": ["label2", "label0"]}\n\n{"text": "y", "label": []}\n')
    multi = manifest("multi_label_classification", labels=3)
    assert [item.label for item in read_examples(lines, multi)] == [(0, 2), ()]


def test_scores_are_numbers(tmp_path: Path) -> None:
    """Regression."""
    path = write(tmp_path, "s.tsv", "sentence1\tsentence2\tscore\na\tb\t3.25\n")
    regression = manifest("regression", labels=1)
    assert read_examples(path, regression) == [LabelledText(text="a", text_pair="b", label=3.25)]


@pytest.mark.parametrize(
    ("name", "text", "code", "message"),
    [
        ("a.tsv", "sentence\tlabel\nx\t7\n", "unknown_label", "line 2: unknown label '7'; known: label0, label1"),
        ("a.tsv", "sentence\tlabel\nx\n", "malformed_file", "line 2 has 1 columns"),
        ("a.tsv", "title\tlabel\nx\t1\n", "missing_column", "--text-column"),
        ("a.tsv", "sentence\tlabel\n", "empty_file", "no rows"),
        ("a.tsv", "", "empty_file", "no rows"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": \n', "malformed_file", "line 2 is not JSON"),
        ("a.jsonl", "[1]\n", "malformed_file", "not a JSON object"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": "x"}\n', "missing_column", "line 2: no column 'label'"),
        ("a.parquet", "x", "unknown_format", "expected a .tsv"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, name: str, text: str, code: str, message: str) -> None:
    """File, line, value and what would be right."""
    path = write(tmp_path, name, text)
    with pytest.raises(InputError, match=message) as caught:
        read_examples(path, manifest())
    assert caught.value.code == code
    assert str(path) in caught.value.message


def test_unreadable_files(tmp_path: Path) -> None:
    """Missing, and no text."""
    with pytest.raises(InputError, match="No such file"):
        read_examples(tmp_path / "a.tsv", manifest())
    (tmp_path / "b.tsv").write_bytes(b"sentence\tlabel\n\xff\t1\n")
    with pytest.raises(InputError, match="not UTF-8 at byte 15"):
        read_examples(tmp_path / "b.tsv", manifest())


def test_texts_and_pairs_by_line(tmp_path: Path) -> None:
    """For `verify`: a tab separates a pair; empty lines are no texts."""
    path = write(tmp_path, "texts.txt", "one\n\ntwo\tthree\n")
    assert read_texts(path) == [("one", None), ("two", "three")]
    with pytest.raises(InputError, match="no texts"):
        read_texts(write(tmp_path, "none.txt", "\n"))
