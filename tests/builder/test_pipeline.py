"""The whole build at the smallest size."""

from pathlib import Path

import pytest

from intbert.builder.failure import BuildError
from intbert.builder.pipeline import build
from intbert.model.package import Package

SENTIMENT = """
seed = 3
[model]
name = "tiny"
backbone = "{checkpoint}"
labels = ["negative", "positive"]
tokens_max = 64
[data]
train = ["train.tsv"]
dev = ["dev.tsv"]
columns = {{ text = "sentence", label = "label" }}
label_values = {{ 0 = "negative", 1 = "positive" }}
[finetune]
learning_rate = 5e-3
tokens_max = 32
batch_examples = 4
[quantise]
learning_rate = 1e-4
batch_examples = 8
"""

SPANS = """
seed = 3
[model]
name = "tiny-spans"
backbone = "{checkpoint}"
problem_type = "span_qa"
tokens_max = 64
[data]
format = "squad"
train = ["train.json"]
dev = ["dev.json"]
[span]
window_tokens = 48
overlap_tokens = 16
question_tokens_max = 12
[finetune]
learning_rate = 2e-3
batch_examples = 8
[quantise]
epochs = 0
"""


def write_recipe(folder: Path, template: str, checkpoint: Path) -> Path:
    """The recipe as a file."""
    path = folder / "recipe.toml"
    path.write_text(template.format(checkpoint=checkpoint), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, sentiment: Path) -> tuple[Path, Package]:
    """Folder of a smoke build of the sentiment recipe, and its package."""
    folder = tmp_path_factory.mktemp("build")
    package = build(
        recipe_path=write_recipe(folder, SENTIMENT, checkpoint),
        store=folder / "store",
        work_dir=folder / "work",
        data_root=sentiment,
        small=True,
        progress=False,
    )
    return folder, package


def test_package_is_complete(built: tuple[Path, Package]) -> None:
    """The package opens, says how good both variants are, and all implementations gave the same bits."""
    manifest = Package.open(built[1].directory).manifest
    assert set(manifest.files) == {"int8.safetensors", "fp32.onnx", "tokenizer.json", "report.html"}
    assert set(manifest.card.metrics) == {"int8", "fp32"}
    assert manifest.card.metrics["fp32"]["accuracy"] > 70
    assert manifest.card.metrics["int8"]["accuracy"] > 70
    verification = manifest.card.measured["verification"]
    assert isinstance(verification, dict)
    assert verification["identical"] is True


def test_report_shows_both_variants(built: tuple[Path, Package]) -> None:
    """The report holds charts and figures and loads nothing from elsewhere."""
    page = built[1].read("report.html").decode()
    assert page.count("<svg") >= 2
    assert "Quantisation error by layer" in page
    assert "src=" not in page
    assert "<link" not in page


def test_resume_skips_finished_stages(built: tuple[Path, Package], sentiment: Path) -> None:
    """With resume a finished build trains nothing again and gives the same integers."""
    folder, package = built
    said: list[str] = []
    again = build(
        recipe_path=folder / "recipe.toml",
        store=folder / "store",
        work_dir=folder / "work",
        data_root=sentiment,
        small=True,
        resume=True,
        replace=True,
        progress=False,
        say=said.append,
    )
    assert "finetune: already done" in said
    assert "quantise: already done" in said
    assert again.manifest.files["int8.safetensors"] == package.manifest.files["int8.safetensors"]


def test_earlier_build_is_not_overwritten(built: tuple[Path, Package], sentiment: Path) -> None:
    """Without resume a work directory with an earlier build is refused, and so is an existing version."""
    folder, _ = built
    recipe, store = folder / "recipe.toml", folder / "store"
    with pytest.raises(BuildError, match="add --resume"):
        build(recipe_path=recipe, store=folder / "other", work_dir=folder / "work", data_root=sentiment, small=True)
    with pytest.raises(BuildError, match="exists"):
        build(recipe_path=recipe, store=store, work_dir=folder / "elsewhere", data_root=sentiment, small=True)


def test_span_build(tmp_path: Path, checkpoint: Path, questions: Path) -> None:
    """A span QA recipe builds a question answering package with exact match and F1 of both variants."""
    package = build(
        recipe_path=write_recipe(tmp_path, SPANS, checkpoint),
        store=tmp_path / "store",
        work_dir=tmp_path / "work",
        data_root=questions,
        small=True,
        progress=False,
    )
    assert package.manifest.task == "question-answering"
    assert set(package.manifest.card.metrics["int8"]) == {"exact_match", "f1"}
