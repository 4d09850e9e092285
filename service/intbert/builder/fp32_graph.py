"""The FP32 original as an ordinary ONNX graph, written from the checkpoint's tensors.

Standard operators only; stock ONNX Runtime fuses bias with GELU, scale with scores, and pooler with tanh at load.
Weights may be stored in half precision: a Cast, folded at load, makes them float32, and all computation is FP32.

Best of 30 at (1, 128), six layers of 384 channels, one thread: 17.4 ms, the file of torch's own exporter 17.8 ms. The
sum of embeddings has no declared shape on purpose: with one ONNX Runtime 1.32 fuses residual sums and norms to
SkipLayerNormalization, which took 20.6 instead of 18.0 ms when measured side by side.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from intbert.builder.failure import BackboneError

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SPAN_OUTPUTS = ("start_logits", "end_logits")
MASKED_SCORE = -10000.0  # exp(-10000) is 0 in FP32, as that of -infinity would be
HALF_PRECISION_MAX = 65504.0
SUPPORTED = ("BertForSequenceClassification", "BertForQuestionAnswering")


def export_fp32(model: PreTrainedModel, path: Path, *, half_precision_weights: bool = True) -> None:
    """Write a BertForSequenceClassification or BertForQuestionAnswering as one ONNX file.

    Inputs input_ids, attention_mask, token_type_ids: int64 (batch, sequence), both dynamic. Outputs: logits (batch,
    labels), or start_logits and end_logits (batch, sequence). With `half_precision_weights` matrices are rounded to
    float16 in the file. BackboneError for another architecture, or a weight that float16 can't hold.
    """
    import onnx

    onnx.save_model(build_fp32_graph(model, half_precision_weights=half_precision_weights), str(path))


def build_fp32_graph(model: PreTrainedModel, *, half_precision_weights: bool = True) -> Any:
    """The `onnx.ModelProto` that `export_fp32` writes."""
    kind = type(model).__name__
    if kind not in SUPPORTED:
        raise BackboneError(f"{kind} can't be exported; supported: {', '.join(SUPPORTED)}")
    tensors = {name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()}
    return _BertWriter(tensors, model.config, half_precision_weights).model(spans=kind == "BertForQuestionAnswering")


def widen_weights(model: Any) -> Any:
    """The same graph with every half-precision initialiser stored in float32, as an exporter usually writes it."""
    import onnx

    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    halves = {item.name: item for item in wide.graph.initializer if item.data_type == onnx.TensorProto.FLOAT16}
    casts = {node.output[0]: node.input[0] for node in model.graph.node if node.input[0] in halves}
    for item in halves.values():
        item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item).astype(np.float32), item.name))
    del wide.graph.node[:]
    wide.graph.node.extend(node for node in model.graph.node if node.output[0] not in casts)
    for node in wide.graph.node:
        node.input[:] = [casts.get(name, name) for name in node.input]
    return wide


class _BertWriter:
    """Appends nodes; every method takes and returns tensor names."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], config: Any, half_precision_weights: bool) -> None:
        import onnx

        self._onnx = onnx
        self._tensors = tensors
        self._config = config
        self._half = half_precision_weights
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def model(self, *, spans: bool) -> Any:
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        hidden = self.embeddings()
        mask = self.mask()
        for index in range(self._config.num_hidden_layers):
            hidden = self.layer(hidden, mask, f"bert.encoder.layer.{index}")
        shapes = self.span_head(hidden) if spans else self.label_head(hidden)
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "sequence"]) for name in INPUTS],
            [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, shape in shapes.items()],
            list(self._initializers.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="intbert")
        self._onnx.checker.check_model(model)
        return model

    def embeddings(self) -> str:
        """Word, position and token type rows, summed and normalised."""
        prefix = "bert.embeddings"
        words = self.node("Gather", self.weight(f"{prefix}.word_embeddings.weight"), "input_ids")
        types = self.node("Gather", self.weight(f"{prefix}.token_type_embeddings.weight"), "token_type_ids")
        length = self.node("Shape", "input_ids", start=1, end=2)
        positions = self.node(
            "Slice", self.weight(f"{prefix}.position_embeddings.weight"), self.ints([0]), length, self.ints([0])
        )
        total = self.node("Add", self.node("Add", words, types), positions)
        return self.norm(total, f"{prefix}.LayerNorm")

    def mask(self) -> str:
        """(batch, 1, 1, sequence): 0 where a token is, a large negative score where padding is."""
        wide = self.node("Unsqueeze", self.node("Unsqueeze", "attention_mask", self.ints([1])), self.ints([2]))
        padding = self.node("Sub", self.scalar(1.0), self.node("Cast", wide, to=self._onnx.TensorProto.FLOAT))
        return self.node("Mul", padding, self.scalar(MASKED_SCORE))

    def layer(self, hidden: str, mask: str, prefix: str) -> str:
        """One encoder layer, normalised after each residual sum."""
        context = self.attention(hidden, mask, f"{prefix}.attention.self")
        projected = self.linear(context, f"{prefix}.attention.output.dense")
        attended = self.norm(self.node("Add", projected, hidden), f"{prefix}.attention.output.LayerNorm")
        inner = self.gelu(self.linear(attended, f"{prefix}.intermediate.dense"))
        outer = self.linear(inner, f"{prefix}.output.dense")
        return self.norm(self.node("Add", outer, attended), f"{prefix}.output.LayerNorm")

    def attention(self, hidden: str, mask: str, prefix: str) -> str:
        """Softmax of scaled scores times values, heads side by side again."""
        head_dim = self._config.hidden_size // self._config.num_attention_heads
        query, value = (
            self.node("Transpose", self.heads(hidden, f"{prefix}.{part}"), perm=[0, 2, 1, 3])
            for part in ("query", "value")
        )
        key = self.node("Transpose", self.heads(hidden, f"{prefix}.key"), perm=[0, 2, 3, 1])
        scores = self.node("Div", self.node("MatMul", query, key), self.scalar(float(np.sqrt(head_dim))))
        probabilities = self.node("Softmax", self.node("Add", scores, mask), axis=3)
        context = self.node("Transpose", self.node("MatMul", probabilities, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", context, self.ints([0, 0, self._config.hidden_size]))

    def heads(self, hidden: str, name: str) -> str:
        """(batch, sequence, heads, head_dim) of one projection."""
        heads = self._config.num_attention_heads
        shape = self.ints([0, 0, heads, self._config.hidden_size // heads])
        return self.node("Reshape", self.linear(hidden, name), shape)

    def gelu(self, x: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, in the pattern that becomes one BiasGelu."""
        erf = self.node("Erf", self.node("Div", x, self.scalar(float(np.sqrt(2)))))
        doubled = self.node("Mul", x, self.node("Add", erf, self.scalar(1.0)))
        return self.node("Mul", doubled, self.scalar(0.5))

    def label_head(self, hidden: str) -> dict[str, list[Any]]:
        """Pooler of the first token, tanh, classifier."""
        first = self.node("Gather", hidden, self.index(0), axis=1)
        pooled = self.node("Tanh", self.linear(first, "bert.pooler.dense"))
        self.node("Identity", self.linear(pooled, "classifier"), result="logits")
        return {"logits": ["batch", self._tensors["classifier.bias"].size]}

    def span_head(self, hidden: str) -> dict[str, list[Any]]:
        """Start and end scores of every token."""
        both = self.linear(hidden, "qa_outputs")
        for index, name in enumerate(SPAN_OUTPUTS):
            self.node("Gather", both, self.index(index), axis=2, result=name)
        return {name: ["batch", "sequence"] for name in SPAN_OUTPUTS}

    def linear(self, x: str, name: str) -> str:
        product = self.node("MatMul", x, self.weight(f"{name}.weight", transpose=True))
        return self.node("Add", product, self.initializer(self._tensors[f"{name}.bias"], f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        gain, shift = (
            self.initializer(self._tensors[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias")
        )
        return self.node("LayerNormalization", x, gain, shift, axis=-1, epsilon=float(self._config.layer_norm_eps))

    def weight(self, name: str, *, transpose: bool = False) -> str:
        """A matrix, (inputs, outputs) if transposed; in half precision with a Cast where that is wanted."""
        matrix = self._tensors[name].T if transpose else self._tensors[name]
        if not self._half:
            return self.initializer(matrix, name)
        if not np.abs(matrix).max() <= HALF_PRECISION_MAX:
            raise BackboneError(f"{name} has a value that half precision can't hold; export it in single precision")
        return self.node("Cast", self.initializer(matrix.astype(np.float16), name), to=self._onnx.TensorProto.FLOAT)

    def scalar(self, value: float) -> str:
        return self.initializer(np.float32(value), f"constant/{value}")

    def ints(self, values: list[int]) -> str:
        return self.initializer(np.asarray(values, dtype=np.int64), f"constant/{values}")

    def index(self, value: int) -> str:
        return self.initializer(np.int64(value), f"constant/index/{value}")

    def initializer(self, array: Any, name: str) -> str:
        if name not in self._initializers:
            self._initializers[name] = self._onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def node(self, operator: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [result or name], name=name, **attributes))
        return result or name
