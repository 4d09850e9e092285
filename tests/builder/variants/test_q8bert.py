"""The variant q8bert: training, its checkpoints, and a graph that computes what was trained, in integers."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from intbert.builder.backbone import load_model, load_tokenizer
from intbert.builder.families import load_bert
from intbert.builder.features import padding_collator
from intbert.builder.prepared import prepare
from intbert.builder.recipe_file import load_recipe
from intbert.builder.variants.contract import VariantInputs
from intbert.builder.variants.q8bert import build_q8bert, factors_of, q8bert_graph, ranges, train_q8bert
from intbert.builder.variants.q8bert_factors import channel_factors
from intbert.builder.variants.q8bert_modules import Q8Bert, Q8Settings, WeightScales
from intbert.model.package import Package
from intbert.runtime.onnx import open_session
from tests.builder.quantise.small_models import batches, bert_config, padded, random_texts, with_outliers
from tests.builder.tiny_recipes import SENTIMENT, SPANS, write_recipe

TRAINING = """
[q8bert]
epochs = 2
learning_rate = 1e-3
batch_examples = 32
dropout = 0.0
checkpoint_steps = 5
"""


def ranged(kind: type, *, scaled: bool = False, **settings: Any) -> tuple[Q8Bert, Any]:
    """A copy of a small BERT that has seen some texts, in evaluation mode, and that BERT."""
    torch.manual_seed(0)
    teacher = with_outliers(kind(bert_config(num_labels=2)))
    scales: WeightScales = "output" if scaled else "tensor"
    factors = channel_factors(teacher, batches(16), scales) if scaled else None
    model = Q8Bert(teacher, Q8Settings(dropout=0.0, bf16=False, weight_scales=scales, **settings), factors).train()
    with torch.no_grad():
        for batch in batches(16):
            model(**batch)
    return model.eval(), teacher


def inputs_for(folder: Path, template: str, checkpoint: Path, data: Path, settings: str = "") -> VariantInputs:
    """What the stage of a tiny recipe gets."""
    folder.mkdir()
    recipe = load_recipe(write_recipe(folder, template + TRAINING + settings, checkpoint))
    tokenizer = load_tokenizer(recipe)
    prepared = prepare(recipe, data, tokenizer)
    torch.manual_seed(0)
    return VariantInputs(
        recipe=recipe,
        teacher=load_model(recipe, prepared.labels).eval(),
        tokenizer=tokenizer,
        data=prepared,
        folder=folder / "stage",
        progress=False,
        say=lambda _: None,
    )


def optimised(content: bytes, path: Path) -> Any:
    """The graph as ONNX Runtime executes it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return onnx.load(path).graph


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForQuestionAnswering])
@pytest.mark.parametrize(("rounded", "scaled"), [("query_key", False), ("all", False), ("query_key", True)])
def test_graph_computes_what_was_trained(kind: type, rounded: str, scaled: bool) -> None:
    """Logits of ONNX Runtime equal the trained model's to FP32 noise for nearly all texts, and differ from FP32's."""
    model, teacher = ranged(kind, scaled=scaled, rounded_outputs=rounded)
    session = open_session(q8bert_graph(model, teacher), 1, spin=False)
    batch = padded(random_texts(60, seed=7))
    mask = batch["attention_mask"][..., None].bool().numpy()
    with torch.no_grad():
        ours, theirs = model(**batch), teacher(**batch)
    found = session.run(None, {name: value.numpy() for name, value in batch.items()})
    errors, changes = [], []
    for name, values in zip((item.name for item in session.get_outputs()), found, strict=True):
        weight = 1.0 if name == "logits" else mask[..., 0]
        scale = np.abs(ours[name].numpy() * weight).max()
        errors.append((np.abs(values - ours[name].numpy()) * weight).max(axis=1) / scale)
        changes.append((np.abs(values - theirs[name].numpy()) * weight).max(axis=1) / scale)
    # A value near the middle of two steps may round the other way and change its text's logits by more
    assert np.quantile(np.max(errors, axis=0), 0.9) < 1e-5
    assert np.quantile(np.max(changes, axis=0), 0.1) > 1e-4


@pytest.mark.parametrize("scaled", [False, True])
def test_products_with_weights_run_in_integers(scaled: bool, tmp_path: Path) -> None:
    """ONNX Runtime joins rounding and product of all six matrices of every layer, and of queries with keys."""
    model, teacher = ranged(BertForSequenceClassification, scaled=scaled)
    graph = optimised(q8bert_graph(model, teacher), tmp_path / "optimised.onnx")
    kinds = {item.name: item.data_type for item in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    weights = [node.input[1] for node in products if kinds.get(node.input[1]) == onnx.TensorProto.INT8]
    layers = model.model.config.num_hidden_layers
    assert sum(".encoder." in name for name in weights) == 6 * layers
    assert len(products) - len(weights) == layers
    assert Counter(node.op_type for node in graph.node)["MatMul"] == layers  # probabilities times values


def test_file_holds_integers() -> None:
    """Matrices and tables are int8, their biases int32; only norms and scales are floats."""
    model, teacher = ranged(BertForQuestionAnswering)
    graph = onnx.load_from_string(q8bert_graph(model, teacher)).graph
    stored = {item.name: item.data_type for item in graph.initializer}
    assert {stored[name] for name in stored if name.endswith("weight") and "LayerNorm" not in name} == {
        onnx.TensorProto.INT8
    }
    assert {stored[f"{name}.bias"] for name in model.linears()} == {onnx.TensorProto.INT32}


def test_scales_and_factors_bring_it_nearer_to_the_teacher() -> None:
    """Before any training, outlier channels cost less than half with a scale for each output and channel factors."""
    batch = padded(random_texts(30, seed=7))
    errors = []
    for scaled in (False, True):
        model, teacher = ranged(BertForSequenceClassification, scaled=scaled)
        with torch.no_grad():
            errors.append(float((model(**batch).logits - teacher(**batch).logits).square().sum()))
    assert errors[1] < errors[0] / 4
    assert all(factor in (0.25, 0.5, 2, 4, 8, 16) for _, found in factors_of(model) for factor in map(float, found))


def test_training_keeps_what_the_teacher_knows(
    tmp_path: Path, built: tuple[Path, Package], checkpoint: Path, sentiment: Path
) -> None:
    """Trained on from a fine-tuned teacher, the rounded model predicts held-out texts right; all ranges are set."""
    teacher = load_bert(built[0] / "work" / "finetune" / "teacher", spans=False)
    inputs = replace(inputs_for(tmp_path / "build", SENTIMENT, checkpoint, sentiment), teacher=teacher)
    model, losses = train_q8bert(inputs)
    batch = padding_collator(inputs.tokenizer, 8)([*inputs.data.holdout, *inputs.data.dev_features])
    expected = batch.pop("labels")
    with torch.no_grad():
        found = model(**batch).logits.argmax(dim=1)
    assert (found == expected).float().mean() > 0.9
    assert all(value > 0 for _, value in ranges(model))
    assert not model.training
    assert all(entry["loss"] > 0 for entry in losses)


def test_interrupted_training_goes_on(tmp_path: Path, checkpoint: Path, questions: Path) -> None:
    """Training on from a checkpoint, here at the end of an epoch, gives the same file as training through."""
    inputs = inputs_for(
        tmp_path / "build", SPANS, checkpoint, questions, 'weight_scales = "output"\nchannel_factors = true'
    )
    built = build_q8bert(inputs)
    saved = sorted((inputs.folder / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    assert len(saved) == 2
    shutil.rmtree(saved[-1])
    again = build_q8bert(inputs)
    assert again.content == built.content
    assert (built.file, built.engine, built.stored_dtype) == ("q8bert.onnx", "onnx", "int8")
    assert built.integer_parts
    assert built.float_parts
