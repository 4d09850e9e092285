"""Cards that hold, and each way in which they do not."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.check_models import broken_gate, main
from intbert.builder.evaluation import evaluate_set, figures_of
from intbert.builder.prepared import load_elsewhere, load_report_set
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from intbert.model.manifest import Card, DataFile, Gate, Provenance
from intbert.model.package import Package
from tests.api.packages import WORDS, write_tiny

RECIPE = """
[model]
name = "tiny"
backbone = "b"
labels = ["negative", "positive"]
[data]
train = ["not-read-again.tsv"]
dev = ["dev.tsv"]
columns = { text = "sentence" }
label_values = { 0 = "negative", 1 = "positive" }
[report]
elsewhere = ["other.tsv"]
"""
VARIANTS = ("int8", "fp32")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store and its data."""

    store: Path
    data: Path

    def check(self, *models: str) -> tuple[int, str, str]:
        """Exit code, what was said, what was complained about."""
        app = Typer()
        app.command()(main)
        done = CliRunner().invoke(app, [*models, "--store", str(self.store), "--data", str(self.data)])
        return done.exit_code, done.stdout, done.stderr


def write_data(folder: Path) -> None:
    """dev.tsv and other.tsv."""
    for name, rows in (("dev.tsv", 24), ("other.tsv", 10)):
        lines = [f"{' '.join(WORDS[row % 7 : row % 7 + 2 + row % 4])}\t{row % 2}" for row in range(rows)]
        (folder / name).write_text("\n".join(["sentence\tlabel", *lines, ""]), encoding="utf-8")


def true_card(package: Package, data: Path) -> Card:
    """As a build would measure it."""
    recipe: Recipe = parse_recipe(tomllib.loads(RECIPE), "test")
    dev = load_report_set(recipe, recipe.data.dev, data, package.manifest.labels)
    others = load_elsewhere(recipe, data, package.manifest.labels)
    found = {name: evaluate_set(package, name, dev.examples, recipe) for name in VARIANTS}
    files = {
        file: figures_of({name: evaluate_set(package, name, item.examples, recipe) for name in VARIANTS})
        for file, item in others.items()
    }
    return Card(metrics={n: r.metrics for n, r in found.items()}, measured={"elsewhere": {"files": files}})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A package whose card holds."""
    data, store = tmp_path / "data", tmp_path / "store"
    data.mkdir()
    write_data(data)
    card = true_card(write_tiny(tmp_path / "scratch"), data)
    write(store, data, card)
    return Place(store=store, data=data)


def write(store: Path, data: Path, card: Card) -> None:
    """The package, with the hashes of its data."""
    files = tuple(
        DataFile(
            name=name,
            use="report",
            sha256=sha256((data / name).read_bytes()).hexdigest(),
            rows=1,
            licence="none",
        )
        for name in ("dev.tsv", "other.tsv")
    )
    provenance = Provenance(
        base_model="b", base_model_licence="none", recipe=RECIPE, seeds={}, data=files, tool_versions={}, built_at=""
    )
    write_tiny(store, card=card, provenance=provenance, gate={"metric": "accuracy", "allowed_drop": 100.0})


def edit_card(place: Place, change: Any) -> None:
    """Change the written manifest's card."""
    path = place.store / "tiny" / "1" / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_true_card_holds(place: Place) -> None:
    """Exit code 0; every set and variant is said; training data is not needed."""
    code, said, complained = place.check()
    assert (code, complained) == (0, "")
    for words in ("dev.tsv, int8: accuracy", "dev.tsv, fp32", "other.tsv, int8", "other.tsv, fp32", "every card holds"):
        assert words in said


@pytest.mark.parametrize(("variant", "within", "beyond"), [("int8", 0.009, 0.011), ("fp32", 0.09, 0.11)])
def test_a_card_that_says_too_much_is_found(place: Place, variant: str, within: float, beyond: float) -> None:
    """Beyond the tolerance of integers or of floats, on the dev data and elsewhere; a better model is no fault."""

    def raised(points: float) -> Any:
        def change(document: dict[str, Any]) -> None:
            document["card"]["metrics"][variant]["f1"] += points
            document["card"]["measured"]["elsewhere"]["files"]["other.tsv"][variant]["metrics"]["f1"] += points

        return change

    edit_card(place, raised(within))
    assert place.check()[0] == 0
    edit_card(place, raised(beyond - within))
    code, _, complained = place.check("tiny")
    assert code == 1
    assert f"f1 of {variant} on dev.tsv is" in complained
    assert f"f1 of {variant} on other.tsv is" in complained
    edit_card(place, raised(-50))
    assert place.check()[0] == 0


def test_another_file_is_found(place: Place) -> None:
    """By its hash, before anything is computed; a missing one by name."""
    with (place.data / "other.tsv").open("a", encoding="utf-8") as file:
        file.write("good\t1\n")
    code, said, complained = place.check()
    assert (code, said) == (1, "")
    assert "tiny/1: other.tsv is another file: its SHA-256 is" in complained
    (place.data / "dev.tsv").unlink()
    assert "cannot read" in place.check()[2]


def test_a_broken_gate_is_found() -> None:
    """By what was measured now."""
    gate = Gate(metric="f1", allowed_drop=0.5)
    found: Mapping[str, Mapping[str, float]] = {"int8": {"f1": 80.0}, "fp32": {"f1": 80.6}}
    assert "int8 loses 0.6000 points of f1 against fp32, the gate allows 0.5" in next(broken_gate(gate, found))
    assert list(broken_gate(Gate(metric="f1", allowed_drop=0.7), found)) == []


def test_a_package_without_a_recipe_is_found(tmp_path: Path) -> None:
    """It can't be evaluated as it was built; an unknown model is said too."""
    write_tiny(tmp_path / "store")
    place = Place(store=tmp_path / "store", data=tmp_path)
    code, _, complained = place.check()
    assert code == 1
    assert "tiny/1: recipe of tiny" in complained
    assert place.check("nope")[0] == 1
