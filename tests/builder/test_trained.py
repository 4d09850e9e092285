"""A new card and new scores of weights that are in the store already."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from intbert.builder.failure import BuildError
from intbert.model.manifest import MANIFEST_FILE, REPORT_FILE
from intbert.model.package import Package
from tests.builder.tiny_recipes import SENTIMENT, build_in


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, sentiment: Path) -> Package:
    """Version 1, without the other domain that its recipe has later."""
    return build_in(tmp_path_factory.mktemp("built"), SENTIMENT.partition("elsewhere")[0], checkpoint, sentiment)


@pytest.fixture
def package(tmp_path: Path, built: Package) -> Package:
    """A copy of it in a store that may be written to."""
    return Package.open(Path(shutil.copytree(built.directory, tmp_path / "store" / "tiny" / "1")))


def test_weights_stay_and_the_card_is_new(package: Package, tmp_path: Path, checkpoint: Path, sentiment: Path) -> None:
    """The same files beside another report, in the place of the old package; the card names what it took."""
    before, old_sha256 = dict(package.manifest.files), package.sha256
    found = build_in(tmp_path, SENTIMENT, checkpoint, sentiment, trained="1", replace=True)
    assert found.directory == package.directory
    assert found.sha256 != old_sha256
    after = dict(found.manifest.files)
    assert {name for name in after if after[name] != before[name]} <= {REPORT_FILE, MANIFEST_FILE}
    card: Any = found.manifest.card
    old_card: Any = package.manifest.card
    assert card.measured["training"]["taken_from"] == {"name": "tiny", "version": "1", "sha256": old_sha256}
    assert card.measured["training"]["student"] == old_card.measured["training"]["student"]
    assert set(card.measured["elsewhere"]["files"]) == {"elsewhere.tsv"}
    assert card.measured["latency"] == old_card.measured["latency"]
    assert card.metrics == old_card.metrics


def test_a_new_version_leaves_the_old_one(package: Package, tmp_path: Path, checkpoint: Path, sentiment: Path) -> None:
    """Where the recipe has raised its version."""
    recipe = SENTIMENT.replace('name = "tiny"', 'name = "tiny"\nversion = 2')
    found = build_in(tmp_path, recipe, checkpoint, sentiment, trained="1")
    assert found.manifest.version == "2"
    assert Package.open(package.directory).sha256 == package.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "seed = 4", "was built with seed = 3, the recipe has 4"),
        (
            "negative",
            "bad",
            "was built with model.labels = ['negative', 'positive'], the recipe has ['bad', 'positive']",
        ),
        ("tokens_max = 64", "tokens_max = 32", "was built with model.tokens_max = 64"),
    ],
)
def test_weights_of_another_recipe_are_refused(
    package: Package, tmp_path: Path, checkpoint: Path, sentiment: Path, old: str, new: str, message: str
) -> None:
    """The message says what differs."""
    recipe = SENTIMENT.replace(old, new)
    with pytest.raises(BuildError, match=re.escape(message)):
        build_in(tmp_path, recipe, checkpoint, sentiment, trained="1", replace=True)


def test_a_further_variant_is_measured(package: Package, tmp_path: Path, checkpoint: Path, sentiment: Path) -> None:
    """Latency of all is taken anew then."""
    found = build_in(tmp_path, SENTIMENT, checkpoint, sentiment, trained="1", replace=True, variants=("dq",))
    card: Any = found.manifest.card
    assert set(card.measured["memory"]) == {"int8", "fp32", "dq"}
    assert card.measured["latency"] != package.manifest.card.measured["latency"]
