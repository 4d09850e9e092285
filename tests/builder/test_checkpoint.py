"""A package turned back into a checkpoint is the model that it was made of."""

from pathlib import Path

import onnx
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from intbert.builder.checkpoint import restore_teacher, save_checkpoint
from intbert.builder.failure import BuildError
from intbert.builder.fp32_graph import build_fp32_graph
from intbert.cli.build import export_checkpoint
from intbert.errors import InputError
from intbert.model.package import Package


def test_transformers_load_it_and_it_writes_the_same_graph(built: tuple[Path, Package], tmp_path: Path) -> None:
    """Every parameter and the configuration come back: the file that is written of them is the package's own."""
    _, package = built
    folder = save_checkpoint(package, tmp_path / "checkpoint")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert build_fp32_graph(model).SerializeToString() == package.onnx()
    assert model.config.id2label == {0: "negative", 1: "positive"}
    text = "the film was brilliant ?"
    expected = package.tokenizer().encode(text, limit_tokens=64)
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == expected.token_ids.tolist()
    assert AutoTokenizer.from_pretrained(folder).pad_token == "[PAD]"


def test_an_existing_folder_is_left_alone(built: tuple[Path, Package], tmp_path: Path) -> None:
    """The command writes to a new folder, or says why not."""
    folder, package = built
    export_checkpoint(package.manifest.name, tmp_path / "new", store=folder / "store")
    assert (tmp_path / "new" / "model.safetensors").is_file()
    with pytest.raises(InputError, match="new exists"):
        export_checkpoint(package.manifest.name, tmp_path / "new", store=folder / "store")


def test_another_graph_is_refused(built: tuple[Path, Package], monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that is missing is named."""
    _, package = built
    graph = onnx.load_from_string(package.onnx())
    names = [item.name for item in graph.graph.initializer]
    del graph.graph.initializer[names.index("classifier.weight")]
    monkeypatch.setattr(Package, "onnx", lambda *_: graph.SerializeToString())
    with pytest.raises(BuildError, match=r"no tensor 'classifier\.weight' \(of 1"):
        restore_teacher(package)
