"""The whole build of tiny models on tiny data."""

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intbert.builder.failure import BuildError
from intbert.builder.pipeline import build
from intbert.builder.report import render_report
from intbert.model.manifest import Calibration, Member
from intbert.model.package import Package
from intbert.runtime.batch import TokenSequence
from intbert.runtime.engines import load_engine
from intbert.runtime.evaluate import compute
from tests.api.conftest import run_server
from tests.builder.tiny_recipes import SIMILARITY, TOPICS, build_in


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


def test_card_says_how_sure_it_is(built: tuple[Path, Package]) -> None:
    """Intervals, paired differences, agreement and calibration on the dev data, on the other file, and on both."""
    manifest = built[1].manifest
    measured: Any = manifest.card.measured
    sets = {
        70: measured["figures"],
        30: measured["elsewhere"]["files"]["elsewhere.tsv"],
        100: measured["elsewhere"]["together"],
    }
    for examples, found in sets.items():
        assert {figures["examples"] for figures in found.values()} == {examples}
        for figures in found.values():
            low, high = figures["intervals"]["accuracy"]
            assert low <= figures["metrics"]["accuracy"] <= high
            assert 0 <= figures["calibration_error"] <= 100
        assert set(found["int8"]["against"]) == {"variant", "differences", "agreement"}
        assert "against" not in found["fp32"]
    assert measured["figures"]["int8"]["metrics"] == manifest.card.metrics["int8"]
    assert measured["error_analysis"]["metric"] == "accuracy"
    assert sum(row["examples"] for row in measured["error_analysis"]["groups"] if row["by"] == "label") == 70


def test_scores_are_calibrated(built: tuple[Path, Package]) -> None:
    """The temperature of the held-out examples is in the manifest, in the report, and in what a softmax is taken of."""
    package = built[1]
    measured: Any = package.manifest.card.measured
    found, temperature = measured["calibration"], package.manifest.calibration.temperature
    assert found["temperature"] == temperature != 1.0
    assert found["holdout_examples"] == 60
    assert found["log_loss_after"] <= found["log_loss_before"]
    assert package.manifest.output_scale("fp32") == 1 / temperature
    assert f"a temperature of {temperature}" in package.read("report.html").decode()
    plain = replace(package, manifest=package.manifest.model_copy(update={"calibration": Calibration()}))
    text = package.tokenizer().encode("the film was brilliant", limit_tokens=64)
    sequence = TokenSequence(token_ids=text.token_ids, type_ids=text.type_ids)
    ours, unscaled = (
        compute(load_engine(item, "int8"), [sequence], threads=1, per_token=False).logits[0]
        * item.manifest.output_scale("int8")
        for item in (package, plain)
    )
    np.testing.assert_allclose(ours * temperature, unscaled)
    assert 0 <= measured["calibration_error_before"] <= 100


def test_files_of_other_domains_are_in_the_provenance(built: tuple[Path, Package], sentiment: Path) -> None:
    """As report data with hash, rows and a licence of their own."""
    entry = built[1].manifest.provenance.data[-1]
    assert (entry.name, entry.use, entry.rows, entry.licence) == ("elsewhere.tsv", "report", 30, "none needed")
    assert entry.sha256 == sha256((sentiment / "elsewhere.tsv").read_bytes()).hexdigest()


def test_members_are_in_the_report(built: tuple[Path, Package]) -> None:
    """A row for each, with what it began with; without members there is no such section."""
    manifest = built[1].manifest
    assert "<h2>Members</h2>" not in render_report(manifest).decode()
    members = (
        Member(seed=15, base_model="runs/first", base_model_sha256="ab" * 32),
        Member(seed=16, base_model="hub/name"),
    )
    provenance = manifest.provenance.model_copy(update={"members": members})
    page = render_report(manifest.model_copy(update={"provenance": provenance})).decode()
    for words in ("<h2>Members</h2>", "runs/first", "abababababab…", "hub/name", "not a local file"):
        assert words in page


def test_reports_of_earlier_packages_are_rendered(built: tuple[Path, Package]) -> None:
    """Without the keys that came later the values stand alone, and their sections are left out."""
    manifest = built[1].manifest
    new = ("bootstrap", "figures", "elsewhere", "error_analysis")
    earlier = {name: value for name, value in manifest.card.measured.items() if name not in new}
    page = render_report(
        manifest.model_copy(update={"card": manifest.card.model_copy(update={"measured": earlier})})
    ).decode()
    complete = built[1].read("report.html").decode()
    for words in ("Other domains", "Where it is right and wrong", "resamples", "expected calibration error"):
        assert words in complete
        assert words not in page
    assert f"{manifest.card.metrics['int8']['accuracy']:.2f}" in page


def test_a_changed_file_of_another_domain_is_evaluated_again(
    built: tuple[Path, Package], sentiment: Path, tmp_path: Path
) -> None:
    """And nothing is trained again."""
    folder, _ = built
    for name in ("train.tsv", "dev.tsv", "elsewhere.tsv"):
        shutil.copy(sentiment / name, tmp_path)
    lines = (tmp_path / "elsewhere.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "elsewhere.tsv").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    shutil.copytree(folder / "work", tmp_path / "work")
    said: list[str] = []
    package = build(
        recipe_path=folder / "recipe.toml",
        store=tmp_path / "store",
        work_dir=tmp_path / "work",
        data_root=tmp_path,
        resume=True,
        progress=False,
        say=said.append,
    )
    assert {"finetune: already done", "quantise: already done", "evaluate: running"} <= set(said)
    measured: Any = package.manifest.card.measured
    assert measured["elsewhere"]["together"]["int8"]["examples"] == 99


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


def test_span_build(built_spans: Package) -> None:
    """A span QA recipe, at smoke size, builds a question answering package with exact match and F1 of both variants."""
    package = built_spans
    assert package.manifest.task == "question-answering"
    assert set(package.manifest.card.metrics["int8"]) == {"exact_match", "f1"}
    measured: Any = package.manifest.card.measured
    assert measured["elsewhere"] == {}
    assert {row["by"] for row in measured["error_analysis"]["groups"]} == {"question", "answer", "context"}


def test_pair_regression_build(tmp_path: Path, checkpoint: Path, similarity: Path) -> None:
    """Scored pairs from JSONL build a package with one output, reported by its correlations."""
    package = build_in(tmp_path, SIMILARITY, checkpoint, similarity, small=True)
    assert package.manifest.problem_type == "regression"
    assert package.manifest.known_answers[0].text_pair is not None
    assert set(package.manifest.card.metrics["int8"]) == {"pearson", "spearman"}


def test_multi_label_build(tmp_path: Path, checkpoint: Path, topics: Path) -> None:
    """Texts with none, one or several labels build a package that decides each label by itself, over HTTP too."""
    store = tmp_path / "store"
    package = build_in(tmp_path, TOPICS, checkpoint, topics)
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
