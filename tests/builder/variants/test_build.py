"""A build with every variant: the package, its card, and the server."""

from pathlib import Path
from typing import Any, get_args

import pytest
from markupsafe import escape

from intbert.builder.failure import BuildError
from intbert.builder.pipeline import build
from intbert.builder.recipe import VariantName
from intbert.builder.reexport import reexport_package
from intbert.builder.variants import BUILDERS, build_variant
from intbert.model.package import Package
from tests.api.conftest import run_server
from tests.builder.tiny_recipes import SENTIMENT, build_in

ALL = get_args(VariantName)
RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of recipe, work and store."""
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def package(folder: Path, checkpoint: Path, sentiment: Path) -> Package:
    """The smoke size of a recipe, another seed and all variants given on the command line."""
    return build_in(folder, SENTIMENT, checkpoint, sentiment, small=True, seed=8, variants=list(ALL))


def test_every_name_has_a_builder() -> None:
    """What a recipe may name can be built, and nothing else."""
    assert set(BUILDERS) == set(ALL)
    inputs: Any = None
    with pytest.raises(BuildError, match="no builder makes the variant 'int4'"):
        build_variant("int4", inputs)


def test_package_says_what_each_variant_computes(package: Package) -> None:
    """Metrics, size, and what is integer and what float, of each; the overrides are in the provenance."""
    manifest = Package.open(package.directory).manifest
    assert set(manifest.variants) == {"int8", "fp32", *ALL} == set(manifest.card.metrics)
    for variant in manifest.variants.values():
        assert variant.integer_parts.endswith(".")
        assert variant.float_parts.endswith(".")
        assert variant.bytes > 0
    assert manifest.provenance.overrides == {"seed": 8, "variants": list(ALL)}
    assert manifest.provenance.seeds == {"all": 8}


def test_report_lists_every_variant(package: Package) -> None:
    """Beside int8 and FP32 there is a table with a row for each, in which the sentences of the card stand."""
    page = package.read("report.html").decode()
    assert "<h2>All variants</h2>" in page
    for name, variant in package.manifest.variants.items():
        assert f'<td class="short">{name}</td>' in page
        assert escape(variant.float_parts) in page


def test_integer_variants_are_complete(package: Package) -> None:
    """The groups' program is proved, has scales to be exported again from, and answers of its own for the self-test."""
    variant = package.manifest.variants["peg-ptq"]
    assert variant.scales is not None
    assert variant.tensors
    assert package.program("peg-ptq").heads == package.program("int8").heads
    digests = {(known.variant, known.text): known.digest for known in package.manifest.known_answers}
    assert len(digests) == 4
    verification: Any = package.manifest.card.measured["verification"]
    assert verification["variants"]["peg-ptq"]["identical"] is True


def test_integer_variants_are_exported_again(package: Package, folder: Path) -> None:
    """`re-export` gives the same integers of every integer variant from its own scales, and keeps the others."""
    again = reexport_package(store=folder / "store", model="tiny", new_version="2")
    assert again.manifest.files.keys() == package.manifest.files.keys()
    for name in ("int8.safetensors", "peg-ptq.safetensors", "ptq.onnx"):
        assert again.manifest.files[name] == package.manifest.files[name]
    assert again.manifest.known_answers == package.manifest.known_answers


def test_every_variant_answers_over_http(package: Package, folder: Path) -> None:
    """`variant:` chooses among them, and the answer says which one gave it."""
    with run_server(folder / "store") as server, server.client() as client:
        for name in package.manifest.variants:
            body = {"inputs": "the film was great", "parameters": {"variant": name}}
            response = client.post("/classify", json=body)
            assert response.status_code == 200, response.text
            answer = response.json()
            scores = {entry["label"]: entry["score"] for entry in answer["results"][0]}
            assert sum(scores.values()) == pytest.approx(1.0, abs=1e-4)
            assert answer["model"]["variant"] == name


def test_another_variant_trains_nothing_again(package: Package, folder: Path, sentiment: Path) -> None:
    """With resume, fewer variants or another order repeat neither training nor the variants that are there."""
    said: list[str] = []
    again = build(
        recipe_path=folder / "recipe.toml",
        store=folder / "store",
        work_dir=folder / "work",
        data_root=sentiment,
        resume=True,
        replace=True,
        small=True,
        seed=8,
        variants=["ptq", "dq"],
        progress=False,
        say=said.append,
    )
    done = {line.partition(":")[0] for line in said if line.endswith("already done")}
    assert done == {"finetune", "quantise", "variant-ptq", "variant-dq"}
    assert again.manifest.files["ptq.onnx"] == package.manifest.files["ptq.onnx"]
