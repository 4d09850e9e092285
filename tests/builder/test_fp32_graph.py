"""The FP32 original as an ONNX graph equals torch, in single and in half-precision storage."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification

from intbert.builder.failure import BackboneError
from intbert.builder.fp32_graph import (
    FloatStorage,
    GraphWriter,
    build_fp32_graph,
    build_graph,
    export_fp32,
    sites,
    widen_weights,
)

CONFIG = {
    "vocab_size": 80,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}


def tiny(kind: Any, **changes: Any) -> Any:
    """A BERT with random weights large enough for every stage to matter."""
    torch.manual_seed(1)
    return kind(BertConfig(**CONFIG, initializer_range=0.4, num_labels=changes.pop("num_labels", 2), **changes)).eval()


@pytest.fixture(scope="module", params=[BertForSequenceClassification, BertForQuestionAnswering])
def model(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both architectures that can be exported."""
    return tiny(request.param, num_labels=3 if request.param is BertForSequenceClassification else 2)


def feeds(lengths: list[int]) -> dict[str, NDArray[np.int64]]:
    """A padded batch with random ids and both token types."""
    rng = np.random.default_rng(2)
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    ids = rng.integers(0, 80, shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": (ids % 2) * mask}


def run_torch(model: Any, inputs: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    with torch.no_grad():
        outputs = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    fields = ("logits",) if "logits" in outputs else ("start_logits", "end_logits")
    return [outputs[field].numpy() for field in fields]


def run_graph(graph: bytes | str, inputs: dict[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    results: list[NDArray[np.float32]] = session.run(None, inputs)
    return results


def assert_close_where_unmasked(actual: Any, expected: Any, mask: NDArray[np.int64], tolerance: float) -> None:
    """Padded positions of span logits mean nothing."""
    for left, right in zip(actual, expected, strict=True):
        kept = mask.astype(bool) if left.shape == mask.shape else np.ones(left.shape, dtype=bool)
        assert left.dtype == np.float32
        np.testing.assert_allclose(left[kept], right[kept], atol=tolerance, rtol=0)


@pytest.mark.parametrize("lengths", [[1], [20], [7, 20, 1]])
def test_single_precision_equals_torch(model: Any, lengths: list[int]) -> None:
    """With float32 weights only the order of sums differs, for one token, the longest sequence and a padded batch."""
    inputs = feeds(lengths)
    graph = build_fp32_graph(model, half_precision_weights=False).SerializeToString()
    assert_close_where_unmasked(run_graph(graph, inputs), run_torch(model, inputs), inputs["attention_mask"], 2e-5)


def test_half_precision_equals_torch_with_rounded_matrices(model: Any, tmp_path: Path) -> None:
    """The file computes in FP32 what torch computes once its matrices are rounded to float16."""
    export_fp32(model, tmp_path / "fp32.onnx")
    rounded = type(model)(model.config).eval()
    state = {name: value.half().float() if value.dim() == 2 else value for name, value in model.state_dict().items()}
    rounded.load_state_dict(state)
    inputs = feeds([7, 20, 1])
    actual = run_graph(str(tmp_path / "fp32.onnx"), inputs)
    assert_close_where_unmasked(actual, run_torch(rounded, inputs), inputs["attention_mask"], 2e-5)


def test_file_is_one_and_holds_matrices_in_half_precision(model: Any, tmp_path: Path) -> None:
    """Every matrix is float16 followed by one Cast; there is no external data and no operator outside the standard."""
    export_fp32(model, tmp_path / "fp32.onnx")
    graph = onnx.load(tmp_path / "fp32.onnx")
    matrices = [item for item in graph.graph.initializer if len(item.dims) == 2]
    assert matrices
    assert {item.data_type for item in matrices} == {onnx.TensorProto.FLOAT16}
    assert [path.name for path in tmp_path.iterdir()] == ["fp32.onnx"]
    assert {item.domain for item in graph.opset_import} == {""}


def test_inputs_and_outputs_have_their_names_and_dynamic_shapes(model: Any) -> None:
    """The seam to the runtime: three int64 inputs (batch, sequence), logits or start and end logits."""
    graph = build_fp32_graph(model).graph
    shapes = {
        item.name: [dim.dim_param or dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in [*graph.input, *graph.output]
    }
    expected = {name: ["batch", "sequence"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    spans = {name: ["batch", "sequence"] for name in ("start_logits", "end_logits")}
    assert shapes == expected | (
        {"logits": ["batch", 3]} if isinstance(model, BertForSequenceClassification) else spans
    )
    assert {item.type.tensor_type.elem_type for item in graph.input} == {onnx.TensorProto.INT64}


def test_widened_weights_compute_the_same(model: Any) -> None:
    """`widen_weights` stores the rounded matrices in float32 and changes no result."""
    narrow = build_fp32_graph(model)
    wide = widen_weights(narrow)
    onnx.checker.check_model(wide)
    assert onnx.TensorProto.FLOAT16 not in {item.data_type for item in wide.graph.initializer}
    inputs = feeds([5, 12])
    for left, right in zip(
        run_graph(narrow.SerializeToString(), inputs), run_graph(wide.SerializeToString(), inputs), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_written_bytes_stay_the_same() -> None:
    """The FP32 file of fixed weights has the same bytes as ever, whatever the hooks for other variants became."""
    digests = {}
    for kind in (BertForSequenceClassification, BertForQuestionAnswering):
        model = tiny(kind)
        for value in model.state_dict().values():
            value.copy_(((torch.arange(value.numel()) % 97 - 48) / 64).reshape(value.shape))
        content = build_fp32_graph(model).SerializeToString(deterministic=True)
        digests[kind.__name__] = sha256(content).hexdigest()[:16]
    assert digests == {
        "BertForSequenceClassification": "f86c083d9849e0cd",
        "BertForQuestionAnswering": "ea29fa1d8ef7761d",
    }


class Recorder(FloatStorage):
    """Notes where it is called."""

    def __init__(self) -> None:
        super().__init__(half_precision=True)
        self.sites: list[str] = []
        self.inputs: list[str] = []

    def activation(self, writer: GraphWriter, site: str, tensor: str) -> str:
        self.sites.append(site)
        return tensor

    def linear_input(self, writer: GraphWriter, site: str, tensor: str) -> str:
        self.inputs.append(site)
        return tensor


def test_hooks_are_called_at_every_site(model: Any) -> None:
    """The quantiser sees each listed site exactly once, and what matrices read; doing nothing gives the FP32 file."""
    recorder = Recorder()
    graph = build_graph(model, recorder)
    spans = isinstance(model, BertForQuestionAnswering)
    assert sorted(recorder.sites) == sorted(sites(2, spans=spans))
    head = ["1.ffn_norm"] if spans else ["first_token", "tanh"]
    layers = [f"{index}.{part}" for index in range(2) for part in ("context", "attention_norm", "gelu")]
    assert sorted(recorder.inputs) == sorted(["embedding_norm", "0.ffn_norm", *layers, *head])
    assert graph == build_fp32_graph(model)


def test_other_architectures_are_refused() -> None:
    """The error names the class and the supported ones."""
    with pytest.raises(BackboneError, match="BertForMaskedLM can't be exported; supported: BertForSequence"):
        build_fp32_graph(tiny(BertForMaskedLM))


@pytest.mark.parametrize("value", [70000.0, float("nan")])
def test_values_beyond_half_precision_are_refused(value: float) -> None:
    """A weight that float16 can't hold is an error that names it; single precision takes a large one."""
    model = tiny(BertForSequenceClassification)
    model.classifier.weight.data[0, 0] = value
    with pytest.raises(BackboneError, match=r"classifier\.weight has a value that half precision can't hold"):
        build_fp32_graph(model)
    build_fp32_graph(model, half_precision_weights=False)
