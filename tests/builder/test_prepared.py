"""Sets that are only reported on, of either task."""

import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from intbert.builder.failure import DataError
from intbert.builder.prepared import load_elsewhere, load_report_set
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from tests.builder.tiny_recipes import SENTIMENT, SPANS

LABELS = ("negative", "positive")


def recipe(template: str, name: str) -> Recipe:
    """With that file of another domain, at most ten examples."""
    tables = tomllib.loads(template.format(checkpoint="b"))
    tables["data"]["dev_examples_max"] = 10
    tables["report"] = {"elsewhere": [name]}
    return parse_recipe(tables, "test")


def test_texts_of_another_domain(sentiment: Path) -> None:
    """Labelled as the recipe says, cut as the dev data; hash and rows are the whole file's."""
    found = load_elsewhere(recipe(SENTIMENT, "elsewhere.tsv"), sentiment, LABELS)["elsewhere.tsv"]
    assert [item.label for item in found.examples][:4] == [0, 1, 0, 1]  # type: ignore[union-attr]  # texts
    assert len(found.examples) == 10
    source = found.sources["elsewhere.tsv"]
    assert (source.rows, source.sha256) == (30, sha256((sentiment / "elsewhere.tsv").read_bytes()).hexdigest())


def test_questions_of_another_domain(questions: Path) -> None:
    """The same for a span model."""
    found = load_elsewhere(recipe(SPANS, "other.json"), questions_of(questions), ())["other.json"]
    assert len(found.examples) == 10
    assert found.sources["other.json"].rows == 12


def questions_of(folder: Path) -> Path:
    """The folder, with the dev data under another name too."""
    (folder / "other.json").write_bytes((folder / "dev.json").read_bytes())
    return folder


def test_files_are_one_set_when_they_are_named_together(sentiment: Path) -> None:
    """In their order; a missing one is named."""
    made = recipe(SENTIMENT, "elsewhere.tsv")
    assert set(load_report_set(made, ("dev.tsv", "elsewhere.tsv"), sentiment, LABELS).sources) == {
        "dev.tsv",
        "elsewhere.tsv",
    }
    with pytest.raises(DataError, match="nowhere.tsv"):
        load_report_set(made, ("nowhere.tsv",), sentiment, LABELS)
