"""A tiny BERT with outliers, its calibration, and ONNX Runtime's view of a graph."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from intbert.builder.features import Feature
from intbert.builder.fp32_graph import sites
from intbert.builder.variants.calibration import inputs_of, observe
from intbert.builder.variants.static_plans import Calibrated

LAYERS = 2
OUTLIER_CHANNEL = 5


@pytest.fixture(scope="session")
def texts() -> list[Feature]:
    """Random tokens of random lengths, some lengths more than once."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 24, 30)
    return [{"input_ids": rng.integers(0, 80, n).tolist(), "token_type_ids": [0] * int(n)} for n in lengths]


@pytest.fixture(scope="session", params=[False, True], ids=["labels", "spans"])
def model(request: pytest.FixtureRequest) -> Any:
    """Random weights; one channel of every FFN output is many times as large as the others."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=80,
        hidden_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=3,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.2,
        num_labels=2 if request.param else 3,
    )
    made = (BertForQuestionAnswering if request.param else BertForSequenceClassification)(config).eval()
    for layer in made.bert.encoder.layer:
        layer.output.dense.weight.data[OUTLIER_CHANNEL] *= 30
    return made


@pytest.fixture(scope="session")
def found(model: Any, texts: list[Feature]) -> Calibrated:
    """What the plans are made from."""
    return Calibrated(
        seen=observe(model, texts),
        sites=sites(LAYERS, spans=isinstance(model, BertForQuestionAnswering)),
        weights={name: value.numpy() for name, value in model.state_dict().items() if value.dim() == 2},
    )


@pytest.fixture(scope="session")
def compute(texts: list[Feature]) -> Callable[..., NDArray[np.float32]]:
    """Logits of all texts, one after another; with or without ONNX Runtime's graph optimisations."""

    def logits(graph: bytes, *, optimised: bool = True) -> NDArray[np.float32]:
        levels = onnxruntime.GraphOptimizationLevel
        session = open_graph(graph, levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL)
        return np.concatenate([np.stack(session.run(None, inputs_of([text])), axis=-1).reshape(-1) for text in texts])

    return logits


def open_graph(graph: bytes, level: Any, optimised_path: str = "") -> Any:
    """A session, whose optimised graph is saved where that is wanted."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = optimised_path
    options.add_session_config_entry("session.x64quantprecision", "1")  # as the service
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def operators(graph: bytes, folder: Path) -> "Counter[str]":
    """How often each operator is in what ONNX Runtime makes of the graph."""
    path = folder / "optimised.onnx"
    open_graph(graph, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL, str(path))
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def relative_error(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square of the difference over that of the expected values."""
    return float(np.sqrt(np.square(actual - expected).sum() / np.square(expected).sum()))


def integer_products(found: "Counter[str]") -> int:
    """Matrix products that ONNX Runtime computes in integers."""
    names: Sequence[str] = ("MatMulIntegerToFloat", "QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulInteger")
    return sum(found[name] for name in names)
