"""The model that all engines share: a Hugging Face checkpoint and our integer program of the same weights."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.numpy import save_file
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from benchmarks.models import LABELS, Files, Model, bundled
from intbert.builder.fp32_graph import build_fp32_graph
from intbert.builder.quantise.calibrate import calibrated_scales
from intbert.builder.quantise.export import export, realise
from intbert.builder.quantise.real import real_model
from intbert.model.scales import Scales

TOKENIZER = bundled("sst2-minilm-l6") / "tokenizer.json"
CALIBRATION_TEXTS = 6
CALIBRATION_ROWS = 96  # of each tensor: random weights gain nothing from a finer search
CALIBRATION_SEED = 7
CALIBRATED_LAYERS = 2
SEED = 1
SPECIALS = ("unk", "pad", "cls", "sep", "mask")


def write_checkpoint(model: Model, _: Files, target: Path) -> None:
    """The bundled package's FP32 weights, or random ones, with a tokenizer that CTranslate2's converter reads."""
    torch.manual_seed(SEED)
    bert = BertForSequenceClassification(config_of(model))
    if model.package is not None:
        load_onnx_weights(bert, bundled(model.package) / "fp32.onnx")
    bert.save_pretrained(target)
    PreTrainedTokenizerFast(
        tokenizer_file=str(TOKENIZER), **{f"{name}_token": f"[{name.upper()}]" for name in SPECIALS}
    ).save_pretrained(target)


def config_of(model: Model) -> BertConfig:
    """BERT with these dimensions and two labels."""
    # Nothing else there is, but CTranslate2's converter asks for the kind of positions
    untyped: dict[str, Any] = {"num_labels": LABELS, "position_embedding_type": "absolute"}
    return BertConfig(
        vocab_size=model.vocabulary,
        hidden_size=model.channels,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        intermediate_size=model.intermediate,
        max_position_embeddings=model.positions,
        **untyped,
    )


def load_onnx_weights(bert: BertForSequenceClassification, path: Path) -> None:
    """Copy the initialisers of a graph that `builder.fp32_graph` wrote. KeyError for a missing weight."""
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(path).graph.initializer}
    state: dict[str, torch.Tensor] = {}
    for name in bert.state_dict():
        values = arrays[name].astype(np.float32)
        transposed = values.ndim == 2 and "embeddings" not in name  # the graph multiplies from the right
        state[name] = torch.from_numpy(np.ascontiguousarray(values.T if transposed else values))
    bert.load_state_dict(state)


def load_checkpoint(files: Files) -> BertForSequenceClassification:
    """In evaluation mode."""
    bert: BertForSequenceClassification = BertForSequenceClassification.from_pretrained(files.checkpoint)
    bert.eval()
    return bert


def write_integer(model: Model, files: Files, target: Path) -> None:
    """The package's program, or one calibrated on random tokens: without training, accuracy is no subject here."""
    if model.package is not None:
        shutil.copyfile(bundled(model.package) / "int8.safetensors", target)
        return
    state = load_checkpoint(files).state_dict()
    real = real_model(state, heads=model.heads)
    exported = export(real, realise(real, random_scales(model, state)))
    save_file(exported.program.tensors(), target)


def random_scales(model: Model, state: dict[str, Any]) -> Scales:
    """Layers of random weights differ by chance only: two are calibrated, the others take the second's scales."""
    short = BertForSequenceClassification(config_of(replace(model, layers=CALIBRATED_LAYERS)))
    short.load_state_dict(state, strict=False)
    scales = calibrated_scales(short, calibration_batches(model), rows_max=CALIBRATION_ROWS).scales
    first, second = scales.layers
    return replace(scales, layers=(first, *[second] * (model.layers - 1)))


def calibration_batches(model: Model) -> Iterator[dict[str, torch.Tensor]]:
    """A few random texts, one a batch."""
    for feed in calibration_feeds(model):
        yield {name: torch.from_numpy(values) for name, values in feed.items()}


def calibration_feeds(model: Model) -> Iterator[dict[str, Any]]:
    """The same as NumPy arrays, int64 (1, tokens), by the names of BERT's inputs."""
    rng = np.random.default_rng(CALIBRATION_SEED)
    for _ in range(CALIBRATION_TEXTS):
        ids = rng.integers(1, model.vocabulary, (1, 48), dtype=np.int64)
        yield {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def write_onnx(_: Model, files: Files, target: Path) -> None:
    """Weights in FP32, as an exporter writes them; standard operators, faster than the graph of torch's exporter."""
    onnx.save_model(build_fp32_graph(load_checkpoint(files), half_precision_weights=False), str(target))
