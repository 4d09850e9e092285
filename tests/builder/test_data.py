"""Reading labelled texts."""

import json
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.builder.data import Splits, load_splits
from intbert.builder.data_split import split_apart, split_holdout
from intbert.builder.failure import DataError
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from intbert.runtime.examples import LabelledText

ROWS = 'sentence\tlabel\na "fine film\t1\ndull\t0\nso so\t0\n'


def recipe(fields: str = "", model: str = "") -> Recipe:
    """A recipe for t.tsv and d.tsv, its data table and model table extended."""
    text = f"""
[model]
name = "m"
backbone = "b"
{model}
[data]
train = ["t.tsv"]
dev = ["d.tsv"]
holdout_fraction = 0.0
columns = {{ text = "sentence", label = "label" }}
{fields}
"""
    return parse_recipe(tomllib.loads(text), "test")


def load(folder: Path, train: str, fields: str = "", model: str = "", dev: str | None = None) -> Splits:
    """Splits of the given file contents."""
    (folder / "t.tsv").write_text(train, encoding="utf-8")
    (folder / "d.tsv").write_text(train if dev is None else dev, encoding="utf-8")
    return load_splits(recipe(fields, model), folder)


def complaint(folder: Path, *arguments: Any, **keywords: Any) -> str:
    """The error that loading gives."""
    with pytest.raises(DataError) as caught:
        load(folder, *arguments, **keywords)
    return str(caught.value)


def test_quotes_are_ordinary(tmp_path: Path) -> None:
    """Without quoting a double quote belongs to the text."""
    assert load(tmp_path, ROWS).train[0].text == 'a "fine film'


def test_labels_are_inferred_in_order(tmp_path: Path) -> None:
    """Label numbers keep their order, also past nine."""
    rows = "".join(f"text\t{number}\n" for number in (10, 2, 1, 0, 3))
    assert load(tmp_path, "sentence\tlabel\n" + rows).labels == ("0", "1", "2", "3", "10")


def test_given_names_and_values(tmp_path: Path) -> None:
    """`labels` names the logits in order, `label_values` translates the column."""
    splits = load(tmp_path, ROWS, 'label_values = { 0 = "bad", 1 = "good" }', 'labels = ["good", "bad"]')
    assert [example.label for example in splits.train] == [0, 1, 1]


def test_files_are_hashed(tmp_path: Path) -> None:
    """Provenance has each file's hash and number of rows."""
    source = load(tmp_path, ROWS).sources["t.tsv"]
    assert source.sha256 == sha256(ROWS.encode()).hexdigest()
    assert source.rows == 3


def test_without_header(tmp_path: Path) -> None:
    """In a file without header columns have numbers."""
    fields = "header = false"
    (tmp_path / "t.tsv").write_text("x\t1\t*\tgood one\nx\t0\t\tbad one\n", encoding="utf-8")
    (tmp_path / "d.tsv").write_text("x\t1\t*\tgood one\n", encoding="utf-8")
    made = recipe(fields)
    columns = made.data.columns.model_copy(update={"text": 3, "label": 1})
    made = made.model_copy(update={"data": made.data.model_copy(update={"columns": columns})})
    assert [example.text for example in load_splits(made, tmp_path).train] == ["good one", "bad one"]


def test_pairs_of_jsonl(tmp_path: Path) -> None:
    """JSONL rows may hold a pair and several labels."""
    rows = [{"a": "one", "b": "two", "label": ["x", "y"]}, {"a": "three", "b": "four", "label": []}]
    text = "\n".join(json.dumps(row) for row in rows)
    fields = 'format = "jsonl"'
    made = recipe(fields, 'problem_type = "multi_label_classification"\nlabels = ["x", "y"]')
    columns = made.data.columns.model_copy(update={"text": "a", "text_pair": "b"})
    made = made.model_copy(update={"data": made.data.model_copy(update={"columns": columns})})
    for name in ("t.tsv", "d.tsv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    examples = load_splits(made, tmp_path).train
    assert [(example.text, example.text_pair, example.label) for example in examples] == [
        ("one", "two", (0, 1)),
        ("three", "four", ()),
    ]


def test_quoted_csv(tmp_path: Path) -> None:
    """With minimal quoting a CSV cell may hold a comma and a line break."""
    text = 'sentence,label\n"a, b\nc",1\nd,0\n'
    assert load(tmp_path, text, 'format = "csv"\nquoting = "minimal"').train[0].text == "a, b\nc"


def test_scores(tmp_path: Path) -> None:
    """Regression reads numbers and has no labels."""
    splits = load(tmp_path, "sentence\tlabel\nx\t2.5\n", model='problem_type = "regression"')
    assert splits.train[0].label == 2.5
    assert splits.labels == ()


def test_missing_column_names_those_there_are(tmp_path: Path) -> None:
    """The error shows the file's columns."""
    said = complaint(tmp_path, ROWS.replace("sentence", "text"))
    assert "no column 'sentence'" in said
    assert "'text', 'label'" in said


def test_unknown_label_names_the_line(tmp_path: Path) -> None:
    """A label that the model does not have is shown with its line."""
    said = complaint(tmp_path, ROWS, model='labels = ["no", "yes"]', dev="sentence\tlabel\nx\tmaybe\n")
    assert "d.tsv line 2" in said
    assert "unknown label 'maybe'" in said


@pytest.mark.parametrize(
    ("text", "fields", "model", "expected"),
    [
        ("sentence\tlabel\nx\n", "", "", "line 2 has 1 columns, expected 2"),
        ("sentence\tlabel\n \t1\n", "", 'labels = ["0", "1"]', "must hold a text"),
        ("sentence\tlabel\nx\t1\n", "", "", "at least 2 are needed"),
        ("sentence\tlabel\n", "", "", "has no rows"),
        ("sentence\tlabel\nx\thigh\n", "", 'problem_type = "regression"', "must hold a number"),
        ("sentence\tlabel\nx\tnan\n", "", 'problem_type = "regression"', "must be finite"),
        ("{}\n[]", 'format = "jsonl"', "", "line 2 is not a JSON object"),
        ("{", 'format = "jsonl"', "", "line 1 is not JSON"),
        ('sentence,label\n"x,1\n', 'format = "csv"\nquoting = "minimal"', "", "line"),
        ("sentence\tlabel\nx\t7\n", 'label_values = { 0 = "a", 1 = "b" }', "", "unknown label value '7'"),
    ],
)
def test_bad_rows(tmp_path: Path, text: str, fields: str, model: str, expected: str) -> None:
    """Each kind of bad row has a message of its own."""
    assert expected in complaint(tmp_path, text, fields, model)


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file and one in another encoding are named."""
    with pytest.raises(DataError, match=r"cannot read .*t\.tsv.*--data"):
        load_splits(recipe(), tmp_path)
    (tmp_path / "t.tsv").write_bytes("sentence\tlabel\ncaf\xe9\t1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8 at byte 18"):
        load_splits(recipe(), tmp_path)


@given(st.lists(st.integers(), max_size=60), st.floats(0, 0.9), st.integers(0, 9))
def test_holdout_is_a_partition(items: list[int], fraction: float, seed: int) -> None:
    """Both parts together are the whole, in order, of the wanted size, and the same for the same seed."""
    numbered = list(enumerate(items))
    kept, held = split_holdout(numbered, fraction, seed)
    assert sorted(kept + held) == numbered
    assert len(held) == round(len(items) * fraction)
    assert (kept, held) == split_holdout(numbered, fraction, seed)


def test_a_hub_data_set_is_read_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the hub's own loader, here on a local folder; a split that does not exist is named."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}.csv").write_text("sentence,label\na fine film,1\ndull,0\nso so,0\n", encoding="utf-8")
    table = {"source": "hub", "hub_name": str(folder), "columns": {"text": "sentence", "label": "label"}}
    model = {"name": "m", "backbone": "b"}

    def splits(train: str) -> Splits:
        data = {**table, "train": [train], "dev": ["test"], "holdout_fraction": 0.0}
        return load_splits(parse_recipe({"model": model, "data": data}, "test"), tmp_path)

    assert [item.text for item in splits("train").train] == ["a fine film", "dull", "so so"]
    assert splits("train").labels == ("0", "1")
    with pytest.raises(DataError, match="'nosuch'"):
        splits("nosuch")


APART = """sentence\tlabel
the film is a long and very good story\t1
a long and very good story\t1
very good\t1
good\t1
the plot is bad\t0
bad\t0
the plot\t0
the plot is bad\t0
good music\t1
"""


@given(st.integers(0, 50))
def test_nothing_of_a_held_out_text_is_trained_on(seed: int) -> None:
    """Held out are whole texts; a part stays in training only where another kept text holds it too."""
    rows = [line.split("\t") for line in APART.splitlines()[1:]]
    examples = [LabelledText(text=text, text_pair=None, label=int(label)) for text, label in rows]
    kept, held = split_apart(examples, 0.12, seed)
    assert len(held) == 1
    assert {item.text for item in held} <= {rows[0][0], "the plot is bad", "good music"}
    texts = {item.text for item in kept}
    if held[0].text == "the plot is bad":
        assert texts == {rows[0][0], "a long and very good story", "very good", "good", "good music"}
    elif held[0].text == rows[0][0]:
        assert texts == {"good", "the plot is bad", "bad", "the plot", "good music"}
    assert (kept, held) == split_apart(examples, 0.12, seed)


def test_pairs_are_texts_too() -> None:
    """The same pair twice is never on both sides."""
    pairs = [LabelledText(text="a b", text_pair=f"c {number // 2}", label=0) for number in range(40)]
    kept, held = split_apart(pairs, 0.2, 1)
    assert len({item.text_pair for item in held}) == len(held) == 8
    assert not {item.text_pair for item in kept} & {item.text_pair for item in held}
    assert len(kept) == 40 - 2 * 8
