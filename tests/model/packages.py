"""A tiny real package: random integer program, FP32 graph of the same shape, word-piece tokenizer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save
from tokenizers import models, normalizers, pre_tokenizers, processors

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.encoder import forward
from intbert.arithmetic.program import Program
from intbert.model.manifest import Architecture, Card, Gate, KnownAnswer, Manifest, Provenance, Variant
from intbert.model.package import Package, write_package
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engines import encode_known, known_digest
from tests.arithmetic.programs import Dimensions, random_program

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("a good film", "bad plot , dull", "the actor is great", "who made it ?", "it was not bad .")
PIECES = ("##s", "##ly", "##ing", "é", "日", "[", "]", "sep")
MAX_TOKENS = 48
LOGIT_SCALE = 2.0**-14


def tokenizer_json() -> bytes:
    """BERT's word pieces over a few words, with truncation set in the file, which the service must ignore."""
    words = [*SPECIAL, *dict.fromkeys(" ".join(WORDS).split()), *PIECES]
    inner = tokenizers.Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inner.add_special_tokens(list(SPECIAL))
    inner.enable_truncation(8)
    inner.enable_padding(length=8)
    return inner.to_str().encode()


def dimensions(*, task: str = "text-classification", labels: int = 2) -> Dimensions:
    """Of the program and the FP32 graph alike."""
    span = task == "question-answering"
    return Dimensions(positions=MAX_TOKENS, vocabulary=100, labels=2 if span else labels, pooler=not span)


def float_graph(size: Dimensions, *, seed: int = 7, external: bool = False) -> bytes:
    """A model with the inputs and outputs of an FP32 export: masked sum of embeddings, then a linear layer.

    Its output depends on every token and, but for rounding, not on padding.
    """
    rng = np.random.default_rng(seed)
    table = numpy_helper.from_array(rng.normal(size=(size.vocabulary, 8)).astype(np.float32), "table")
    head = numpy_helper.from_array(rng.normal(size=(8, size.labels)).astype(np.float32), "head")
    if external:
        table.ClearField("raw_data")
        table.data_location = TensorProto.EXTERNAL
        table.external_data.add(key="location", value="weights.bin")
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in names]
    graph = helper.make_graph(_nodes(size), "tiny", inputs, _outputs(size), [table, head])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def make_manifest(program: Program, size: Dimensions, **changes: Any) -> Manifest:
    """A complete manifest; `changes` replace fields."""
    task = "text-classification" if size.pooler else "question-answering"
    fields: dict[str, Any] = {
        "arithmetic_version": ARITHMETIC_VERSION,
        "name": "tiny",
        "version": "1",
        "task": task,
        "problem_type": "single_label_classification" if size.pooler else None,
        "labels": tuple(f"label{i}" for i in range(size.labels)) if size.pooler else (),
        "max_tokens": MAX_TOKENS,
        "architecture": Architecture(
            vocabulary=size.vocabulary,
            positions=size.positions,
            token_types=2,
            channels=size.channels,
            layers=size.layers,
            heads=size.heads,
            intermediate=size.intermediate,
        ),
        "variants": {
            "int8": Variant(
                file="int8.safetensors",
                engine="integer",
                parameters=30000,
                stored_dtype="int8",
                logit_scale=LOGIT_SCALE,
            ),
            "fp32": Variant(file="fp32.onnx", engine="onnx", parameters=30000, stored_dtype="float32"),
        },
        "gate": Gate(metric="accuracy", allowed_drop=1.0),
        "known_answers": known_answers(program),
        "provenance": Provenance(
            base_model="random",
            base_model_licence="none",
            recipe="",
            seeds={"program": 1},
            data=(),
            tool_versions={},
            built_at="2026-01-01T00:00:00Z",
        ),
        "card": Card(metrics={"int8": {"accuracy": 90.0}, "fp32": {"accuracy": 90.5}}),
    }
    return Manifest(**{**fields, **changes})


def known_answers(program: Program) -> tuple[KnownAnswer, ...]:
    """What the reference says to two texts."""
    tokenizer = Tokenizer.from_json(tokenizer_json())
    answers = []
    for text, pair in ((WORDS[0], None), (WORDS[3], WORDS[4])):
        batch = RaggedBatch.of([encode_known(tokenizer, text, pair, MAX_TOKENS)])
        logits = forward(program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
        answers.append(KnownAnswer(text=text, text_pair=pair, digest=known_digest(logits)))
    return tuple(answers)


def make_files(program: Program, size: Dimensions) -> dict[str, bytes]:
    """Everything but the manifest."""
    return {
        "int8.safetensors": save(program.tensors()),
        "fp32.onnx": float_graph(size),
        "tokenizer.json": tokenizer_json(),
        "report.html": b"<!doctype html><title>tiny</title>",
    }


def make_package(
    store: Path, *, task: str = "text-classification", labels: int = 2, seed: int = 1, **changes: Any
) -> Package:
    """A package in the store; `changes` replace fields of the manifest."""
    size = dimensions(task=task, labels=labels)
    program = random_program(seed, size)
    manifest = make_manifest(program, size, **changes)
    return write_package(store / manifest.name / manifest.version, manifest, make_files(program, size))


def edit_manifest(directory: Path, **changes: Any) -> None:
    """Overwrite top-level fields of a written manifest.json."""
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _nodes(size: Dimensions) -> list[onnx.NodeProto]:
    embed = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["mask", "types"], ["weights"]),
        helper.make_node("Constant", [], ["last"], value_ints=[-1]),
        helper.make_node("Constant", [], ["first"], value_ints=[1]),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["embedded", "column"], ["weighted"]),
    ]
    if not size.pooler:
        split = [
            helper.make_node("MatMul", ["weighted", "head"], ["both"]),
            helper.make_node("Split", ["both"], ["start", "end"], axis=2),
            helper.make_node("Squeeze", ["start", "last"], ["start_logits"]),
            helper.make_node("Squeeze", ["end", "last"], ["end_logits"]),
        ]
        return [*embed, *split]
    total = [
        helper.make_node("ReduceSum", ["weighted", "first"], ["pooled"], keepdims=0),
        helper.make_node("MatMul", ["pooled", "head"], ["logits"]),
    ]
    return [*embed, *total]


def _outputs(size: Dimensions) -> list[onnx.ValueInfoProto]:
    if size.pooler:
        return [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", size.labels])]
    names = ("start_logits", "end_logits")
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "sequence"]) for name in names]
