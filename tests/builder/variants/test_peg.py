"""The variant peg-ptq: groups of channels in the integer engine."""

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from intbert.arithmetic.program import Program
from intbert.builder.families import load_bert
from intbert.builder.prepared import PreparedData, prepare
from intbert.builder.quantise import twin_logits
from intbert.builder.recipe_file import load_recipe
from intbert.builder.variants import BUILDERS
from intbert.builder.variants.contract import BuiltVariant, VariantInputs
from intbert.model.package import Package, load_tensors
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.verify import implementations_of

GROUPS = 6


@pytest.fixture(scope="module")
def data(built: tuple[Path, Package], sentiment: Path) -> PreparedData:
    """Of the sentiment recipe."""
    folder, _ = built
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "work" / "finetune" / "teacher")
    return prepare(load_recipe(folder / "recipe.toml"), sentiment, tokenizer)


@pytest.fixture(scope="module")
def peg(built: tuple[Path, Package], data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> BuiltVariant:
    """The variant of the build's teacher."""
    teacher = built[0] / "work" / "finetune" / "teacher"
    inputs = VariantInputs(
        recipe=load_recipe(built[0] / "recipe.toml"),
        teacher=load_bert(teacher, spans=False),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(teacher),
        data=data,
        folder=tmp_path_factory.mktemp("peg"),
        progress=False,
        say=lambda _: None,
    )
    return BUILDERS["peg-ptq"](inputs)


def program_of(peg: BuiltVariant) -> Program:
    """Its integers."""
    assert isinstance(peg.content, bytes)
    return Program.from_tensors(load_tensors(peg.content, peg.file))


def test_channels_are_grouped(peg: BuiltVariant) -> None:
    """Every LayerNorm view and GELU output has at most six multipliers, powers of two times the least."""
    program = program_of(peg)
    views = [program.embedding_norm.view]
    for layer in program.layers:
        views += [layer.attention_norm.view, layer.ffn_norm.view, layer.gelu.multiplier]
    for view in views:
        multipliers = np.unique(view)
        assert len(multipliers) <= GROUPS
        ratios = multipliers / multipliers.min()
        np.testing.assert_array_equal(ratios, 2.0 ** np.rint(np.log2(ratios)))


def test_it_is_integers_everywhere(peg: BuiltVariant, data: PreparedData) -> None:
    """Reference, every kernel set of this machine, ONNX graph and torch twin give the same int32 logits."""
    program, scale = program_of(peg), peg.logit_scale
    assert peg.engine == "integer"
    assert scale is not None
    batch = RaggedBatch.of(data.dev_sequences(12))
    expected = twin_logits(program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    for item in implementations_of(program, scale):
        logits = item.make().session(item.threads).run(batch)
        np.testing.assert_array_equal(logits, expected, err_msg=item.name)


def test_it_is_as_good_as_the_trained_one(peg: BuiltVariant, data: PreparedData) -> None:
    """Without training, labels of the tiny task stay right; what calibration measured is told."""
    batch = RaggedBatch.of(data.dev_sequences(70))
    program = program_of(peg)
    logits = twin_logits(program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    labels = [example.label for example in data.dev[: len(logits)]]
    assert float((logits.argmax(axis=1) == labels).mean()) > 0.8
    outliers = peg.measured["outliers"]
    assert isinstance(outliers, list)
    grouped = [row for row in outliers if isinstance(row, dict) and "folded_groups" in str(row["errors"])]
    assert {str(row["tool"]) for row in grouped} == {"folded_groups"}
