"""Tiny but complete packages: a random integer program beside an unrelated bag-of-words float model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save
from tokenizers import Tokenizer as HubTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.program import Program
from intbert.model.manifest import (
    Architecture,
    Card,
    Gate,
    KnownAnswer,
    Manifest,
    Provenance,
    Variant,
)
from intbert.model.package import Package, write_package
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engines import encode_known, known_digest
from intbert.runtime.reference import ReferenceEngine
from tests.arithmetic.programs import Dimensions, random_program

WORDS = [
    *("a", "the", "film", "plot", "is", "was", "not", "very", "good", "bad"),
    *("gripping", "thin", "beautifully", "acted", "actors", "hours", "back", "and"),
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
POSITIONS = 64
TINY = Dimensions(channels=32, heads=4, intermediate=64, layers=2, positions=POSITIONS, labels=2)
LOGIT_SCALE = 1e-5
KNOWN_TEXT = "the film was very good"
REPORT = b"<!doctype html><title>tiny</title><p>report of tiny"


def tokenizer_json() -> bytes:
    """WordPiece over a few words and all letters, framed as BERT does."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*SPECIALS, *WORDS, *letters[1:], *(f"##{letter}" for letter in letters)]
    tokenizer = HubTokenizer(models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer.to_str().encode()


def float_model(vocabulary: int, labels: int) -> bytes:
    """logits = mean over real tokens of a table's rows: enough to be batched, padded and masked."""
    table = np.random.Generator(np.random.PCG64(5)).normal(size=(vocabulary, labels)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["rows", "mask3"], ["real"]),
        helper.make_node("ReduceSum", ["real", "one"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["total", "count"], ["mean"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["types", "one"], ["second"], keepdims=1),
        helper.make_node("Add", ["mean", "second"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows_", "columns_"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows_", labels])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_tiny(
    store: Path, name: str = "tiny", version: str = "1", *, seed: int = 1, size: Dimensions = TINY, **changes: Any
) -> Package:
    """A package with the variants int8 and fp32, labels negative and positive; `changes` go into the manifest."""
    tokenizer = tokenizer_json()
    program, size = _program(seed, size, tokenizer)
    known = KnownAnswer(text=KNOWN_TEXT, digest=_digest(program, tokenizer, KNOWN_TEXT, size.positions))
    files: Mapping[str, bytes] = {
        "int8.safetensors": save(dict(program.tensors())),
        "fp32.onnx": float_model(size.vocabulary, size.labels),
        "tokenizer.json": tokenizer,
        "report.html": REPORT,
    }
    return write_package(store / name / version, _manifest(name, version, size, known, changes), files)


def write_tiny_qa(store: Path, name: str = "tiny-qa", *, seed: int = 3) -> Package:
    """A span question model with the variants int8 and fp32, windows of at most POSITIONS tokens."""
    tokenizer = tokenizer_json()
    program, size = _program(seed, replace(TINY, pooler=False), tokenizer)
    known = KnownAnswer(text=KNOWN_TEXT, digest=_digest(program, tokenizer, KNOWN_TEXT, size.positions))
    files: Mapping[str, bytes] = {
        "int8.safetensors": save(dict(program.tensors())),
        "fp32.onnx": float_span_model(size.vocabulary),
        "tokenizer.json": tokenizer,
        "report.html": REPORT,
    }
    task = {"task": "question-answering", "problem_type": None, "labels": ()}
    return write_package(store / name / "1", _manifest(name, "1", size, known, task), files)


def write_tiny_store(store: Path) -> Path:
    """The classifier tiny, versions 1 and 2, and the span question model tiny-qa."""
    write_tiny(store, version="1", seed=1)
    write_tiny(store, version="2", seed=2)
    write_tiny_qa(store)
    return store


def float_span_model(vocabulary: int) -> bytes:
    """Start and end logits are rows of two tables, so every token has its own."""
    random = np.random.Generator(np.random.PCG64(6))
    names = ("start_logits", "end_logits")
    tables = [numpy_helper.from_array(random.normal(size=vocabulary).astype(np.float32), f"table_{n}") for n in names]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows_", "columns_"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows_", "columns_"]) for name in names]
    nodes = [helper.make_node("Gather", [f"table_{name}", "input_ids"], [name]) for name in names]
    graph = helper.make_graph(nodes, "tiny_spans", inputs, outputs, tables)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def reference_digest(seed: int, text: str) -> str:
    """What the normative arithmetic gives for a text, all by itself in its batch."""
    tokenizer = tokenizer_json()
    program, size = _program(seed, TINY, tokenizer)
    return _digest(program, tokenizer, text, size.positions)


def _program(seed: int, size: Dimensions, tokenizer: bytes) -> tuple[Program, Dimensions]:
    """With as many embeddings as the tokenizer has tokens."""
    complete = replace(size, vocabulary=Tokenizer.from_json(tokenizer).vocabulary)
    return random_program(seed, complete), complete


def _digest(program: Program, tokenizer: bytes, text: str, limit_tokens: int) -> str:
    sequence: TokenSequence = encode_known(Tokenizer.from_json(tokenizer), text, None, limit_tokens)
    session = ReferenceEngine(program, logit_scale=LOGIT_SCALE).session(1)
    return known_digest(session.run(RaggedBatch.of([sequence])))


def _manifest(name: str, version: str, size: Dimensions, known: KnownAnswer, changes: dict[str, Any]) -> Manifest:
    fields: dict[str, Any] = {
        "arithmetic_version": ARITHMETIC_VERSION,
        "name": name,
        "version": version,
        "task": "text-classification",
        "problem_type": "single_label_classification",
        "labels": ("negative", "positive"),
        "max_tokens": size.positions,
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
                file="int8.safetensors", engine="integer", parameters=1000, stored_dtype="int8", logit_scale=LOGIT_SCALE
            ),
            "fp32": Variant(file="fp32.onnx", engine="onnx", parameters=1000, stored_dtype="float32"),
        },
        "gate": Gate(metric="accuracy", allowed_drop=1.0),
        "known_answers": (known,),
        "provenance": Provenance(
            base_model="random", base_model_licence="none", recipe="", seeds={}, data=(), tool_versions={}, built_at=""
        ),
        "card": Card(metrics={"int8": {"accuracy": 50.0}, "fp32": {"accuracy": 50.0}}),
    }
    return Manifest.model_validate(fields | changes)
