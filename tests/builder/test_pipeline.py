"""The whole build of tiny models on tiny data."""

from pathlib import Path

import pytest

from intbert.builder.failure import BuildError
from intbert.builder.pipeline import build
from intbert.model.package import Package
from tests.api.conftest import run_server
from tests.builder.tiny_recipes import SIMILARITY, SPANS, TOPICS, write_recipe


def test_package_is_complete(built: tuple[Path, Package]) -> None:
    """The package opens, says how good both variants are, and all implementations gave the same bits."""
    manifest = Package.open(built[1].directory).manifest
    assert set(manifest.files) == {"int8.safetensors", "fp32.onnx", "tokenizer.json", "report.html"}
    assert set(manifest.card.metrics) == {"int8", "fp32"}
    assert manifest.card.metrics["fp32"]["accuracy"] > 80
    assert manifest.card.metrics["int8"]["accuracy"] > 80
    verification = manifest.card.measured["verification"]
    assert isinstance(verification, dict)
    assert verification["identical"] is True


def test_report_shows_both_variants(built: tuple[Path, Package]) -> None:
    """The report holds charts and figures and loads nothing from elsewhere."""
    page = built[1].read("report.html").decode()
    assert page.count("<svg") >= 2
    assert "Quantisation error by layer" in page
    assert "What each tensor's rounding costs" in page.replace("&#39;", "'")
    assert "Outlier channels" in page
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
        build(recipe_path=recipe, store=folder / "other", work_dir=folder / "work", data_root=sentiment)
    with pytest.raises(BuildError, match="exists"):
        build(recipe_path=recipe, store=store, work_dir=folder / "elsewhere", data_root=sentiment)


def test_span_build(tmp_path: Path, checkpoint: Path, questions: Path) -> None:
    """A span QA recipe, at smoke size, builds a question answering package with exact match and F1 of both variants."""
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


def test_pair_regression_build(tmp_path: Path, checkpoint: Path, similarity: Path) -> None:
    """Scored pairs from JSONL build a package with one output, reported by its correlations."""
    package = build(
        recipe_path=write_recipe(tmp_path, SIMILARITY, checkpoint),
        store=tmp_path / "store",
        work_dir=tmp_path / "work",
        data_root=similarity,
        small=True,
        progress=False,
    )
    assert package.manifest.problem_type == "regression"
    assert package.manifest.known_answers[0].text_pair is not None
    assert set(package.manifest.card.metrics["int8"]) == {"pearson", "spearman"}


def test_multi_label_build(tmp_path: Path, checkpoint: Path, topics: Path) -> None:
    """Texts with none, one or several labels build a package that decides each label by itself, over HTTP too."""
    store = tmp_path / "store"
    package = build(
        recipe_path=write_recipe(tmp_path, TOPICS, checkpoint),
        store=store,
        work_dir=tmp_path / "work",
        data_root=topics,
        progress=False,
    )
    assert package.manifest.problem_type == "multi_label_classification"
    assert package.manifest.card.metrics["int8"]["f1_micro"] > 80
    text = "the film was great with music"
    with run_server(store) as server, server.client() as client:
        for variant in ("int8", "fp32"):
            body = {"inputs": text, "parameters": {"variant": variant}}
            answer = client.post("/classify", json=body).json()["results"][0]
            scores = {entry["label"]: entry["score"] for entry in answer}
            assert sorted(scores) == ["film", "good", "music"]
            assert sum(score > 0.5 for score in scores.values()) >= 2  # sigmoid each, they do not compete
