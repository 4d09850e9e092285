"""What `intbert inspect` says about packages that hold more or less."""

from pathlib import Path

import pytest

from intbert.errors import NotFoundError
from intbert.model.inspection import inspection, measured_of, tensor_scales
from intbert.model.package import Package
from intbert.model.scales import Scales
from intbert.model.store import ModelStore
from tests.model.packages import make_package

BUNDLED = ModelStore(Path(__file__).parents[2] / "model_store")


@pytest.fixture
def tiny(tmp_path: Path) -> Package:
    """A package without real scales and without measurements."""
    return make_package(tmp_path)


def test_package_without_scales(tiny: Package) -> None:
    """Bounds follow from the integers alone; what is not there is null, and said with what to do about it."""
    document = inspection(tiny)
    assert document["variant"] == "int8"
    assert document["architecture"]["layers"] == tiny.manifest.architecture.layers
    assert document["tensors"] is None
    assert all(row["spare_bits"] >= 0 for row in document["bounds"])
    assert [line.split(":")[0] for line in document["missing"]] == [
        "tensors",
        "layer_error",
        "tensor_cost",
        "outliers",
    ]
    assert all("intbert build" in line for line in document["missing"])


def test_variant_in_onnx(tiny: Package) -> None:
    """A float variant has neither scales nor bounds, and the document says why."""
    document = inspection(tiny, "fp32")
    assert document["tensors"] is None
    assert document["bounds"] is None
    assert "ONNX" in document["missing"][0]


def test_unknown_variant(tiny: Package) -> None:
    """An unknown variant is an error that names those that there are."""
    with pytest.raises(NotFoundError, match="fp32"):
        inspection(tiny, "int4")


@pytest.mark.parametrize("name", ["sst2-minilm-l6", "squad-minilm-l6"])
def test_bundled_packages(name: str) -> None:
    """The bundled packages tell dimensions, scales with outlier channels, bounds with room, and errors of layers."""
    document = inspection(BUNDLED.open(name))
    tensors = {row["tensor"]: row for row in document["tensors"]}
    assert len(tensors) == 2 + 9 * document["architecture"]["layers"]
    assert tensors["layers.1.attention_norm.view"]["spread"] > 5
    assert tensors["layers.1.attention_norm.view"]["outliers"] >= 1
    assert tensors["layers.0.gelu"]["low"] < 0 < tensors["layers.0.gelu"]["high"]
    assert all(row["bits"] == (16 if row["tensor"].endswith("residual") else 8) for row in tensors.values())
    assert all(row["spare_bits"] >= 0 for row in document["bounds"])
    assert document["layer_error"]["points"][-1] == "logits"


def test_scales_are_those_of_the_program() -> None:
    """Real scales are finest x 2^15 / multiplier: the coarsest belongs to the least multiplier."""
    package = BUNDLED.open("sst2-minilm-l6")
    program = package.program()
    kept = package.manifest.scales
    assert isinstance(kept, dict)
    rows = {row.tensor: row for row in tensor_scales(Scales.from_json(kept, program))}
    view = program.embedding_norm.view
    assert rows["embedding_norm.view"].spread == pytest.approx(int(view.max()) / int(view.min()))
    assert rows["embedding_norm.view"].high == pytest.approx(127 * rows["embedding_norm.view"].coarsest)


def test_each_integer_variant_has_its_own_measurements() -> None:
    """What was measured of another integer variant is not shown as the default's, nor the other way round."""
    manifest = BUNDLED.open("sst2-minilm-l6").manifest
    found = [{"tensor": "layers.0.gelu", "tool": "folded_groups", "errors": {"folded_groups": 0.02}}]
    measured = {**manifest.card.measured, "variants": {"peg": {"outliers": found}}}
    card = manifest.card.model_copy(update={"measured": measured})
    both = manifest.model_copy(
        update={"card": card, "variants": {**manifest.variants, "peg": manifest.variants["int8"]}}
    )
    assert measured_of(both, "peg") == {"layer_error": None, "tensor_cost": None, "outliers": found}
    assert measured_of(both, "int8")["layer_error"] == manifest.card.measured["layer_error"]
    assert measured_of(both, "int8")["outliers"] == manifest.card.measured.get("outliers")
