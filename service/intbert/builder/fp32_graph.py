"""The FP32 original as an ordinary ONNX graph, written from the checkpoint's tensors.

Standard operators only; stock ONNX Runtime fuses bias with GELU, scale with scores, and pooler with tanh at load.
Weights may be stored in half precision: a Cast, folded at load, makes them float32, and all computation is FP32.

Best of 30 at (1, 128), six layers of 384 channels, one thread: 17.4 ms, the file of torch's own exporter 17.8 ms. The
sum of embeddings has no declared shape on purpose: with one ONNX Runtime 1.32 fuses residual sums and norms to
SkipLayerNormalization, which took 20.6 instead of 18.0 ms when measured side by side.

The quantised variants that run in ONNX Runtime are the same graph, written with another `GraphQuantiser`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from intbert.builder.failure import BackboneError
from intbert.builder.families import pooler_activation

OPSET = 17  # the first with LayerNormalization
IR_VERSIONS = {17: 8, 21: 10}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SPAN_OUTPUTS = ("start_logits", "end_logits")
MASKED_SCORE = -10000.0  # exp(-10000) is 0 in FP32, as that of -infinity would be
HALF_PRECISION_MAX = 65504.0
SUPPORTED = ("BertForSequenceClassification", "BertForQuestionAnswering")
LAYER_SITES = (
    *("query", "key", "value", "scores", "probabilities", "context", "attention_output", "attention_sum"),
    *("attention_norm", "ffn_input", "gelu", "ffn_output", "ffn_sum", "ffn_norm"),
)


class GraphQuantiser(Protocol):
    """What a variant changes in the graph. Every method may append nodes with `writer`, and returns a tensor's name."""

    @property
    def opset(self) -> int:
        """Of the standard operators: 17, or 21 for integers of 16 bits."""

    def activation(self, writer: "GraphWriter", site: str, tensor: str) -> str:
        """What everything after uses instead of the FP32 tensor at `site` (see `sites`)."""

    def linear_input(self, writer: "GraphWriter", site: str, tensor: str) -> str:
        """What the matrices that read `tensor` use instead of it, while the residual sum does not.

        site: where the tensor comes from, or `first_token` for the pooler. Called once for query, key and value.
        """

    def matrix(self, writer: "GraphWriter", name: str, values: NDArray[np.float32], x: str) -> str:
        """FP32 tensor (inputs, outputs) of the weight `name`, however it is stored; `x` is multiplied by it."""

    def bias(self, writer: "GraphWriter", name: str, values: NDArray[np.float32]) -> str:
        """FP32 tensor (outputs,) of the bias `name`."""

    def table(self, writer: "GraphWriter", name: str, values: NDArray[np.float32]) -> str:
        """What the rows of the embedding table `name` (rows, channels) are taken from."""

    def rows(self, writer: "GraphWriter", name: str, tensor: str) -> str:
        """Rows that were taken from the table `name`, in FP32."""


class FloatStorage:
    """The FP32 original: activations as they are, weights in half or single precision."""

    opset = OPSET

    def __init__(self, *, half_precision: bool) -> None:
        self._half = half_precision

    def activation(self, writer: "GraphWriter", site: str, tensor: str) -> str:
        """The tensor itself."""
        return tensor

    def linear_input(self, writer: "GraphWriter", site: str, tensor: str) -> str:
        """The tensor itself."""
        return tensor

    def matrix(self, writer: "GraphWriter", name: str, values: NDArray[np.float32], x: str) -> str:
        """As a table."""
        return self.table(writer, name, values)

    def bias(self, writer: "GraphWriter", name: str, values: NDArray[np.float32]) -> str:
        """In single precision always."""
        return writer.initializer(values, name)

    def table(self, writer: "GraphWriter", name: str, values: NDArray[np.float32]) -> str:
        """In half precision with a Cast where that is wanted. BackboneError for a value that it can't hold."""
        if not self._half:
            return writer.initializer(values, name)
        if not np.abs(values).max() <= HALF_PRECISION_MAX:
            raise BackboneError(f"{name} has a value that half precision can't hold; export it in single precision")
        return writer.node("Cast", writer.initializer(values.astype(np.float16), name), to=writer.float_type)

    def rows(self, writer: "GraphWriter", name: str, tensor: str) -> str:
        """They are FP32 already."""
        return tensor


def sites(layers: int, *, spans: bool) -> list[str]:
    """Names of all places where `GraphQuantiser.activation` is called, in the order of the computation."""
    inner = [f"{index}.{part}" for index in range(layers) for part in LAYER_SITES]
    return ["embedding_sum", "embedding_norm", *inner, *([] if spans else ["pooler", "tanh"]), "logits"]


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
    return build_graph(model, FloatStorage(half_precision=half_precision_weights))


def build_graph(model: PreTrainedModel, quantiser: GraphQuantiser) -> Any:
    """The `onnx.ModelProto` of the model as `quantiser` wants it. BackboneError for another architecture."""
    kind = type(model).__name__
    if kind not in SUPPORTED:
        raise BackboneError(f"{kind} can't be exported; supported: {', '.join(SUPPORTED)}")
    tensors = {name: value.detach().float().cpu().numpy() for name, value in model.state_dict().items()}
    return GraphWriter(tensors, model.config, quantiser).model(spans=kind == "BertForQuestionAnswering")


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


class GraphWriter:
    """Appends nodes; every method takes and returns tensor names."""

    def __init__(self, tensors: dict[str, NDArray[np.float32]], config: Any, quantiser: GraphQuantiser) -> None:
        import onnx

        self._onnx = onnx
        self._tensors = tensors
        self._config = config
        self._quantiser = quantiser
        self._nodes: list[Any] = []
        self._initializers: dict[str, Any] = {}
        self._extra_outputs: list[str] = []
        self.float_type: int = onnx.TensorProto.FLOAT

    def model(self, *, spans: bool) -> Any:
        """The whole graph, checked."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        hidden, source = self.embeddings(), "embedding_norm"
        mask = self.mask()
        for index in range(self._config.num_hidden_layers):
            hidden, source = self.layer(hidden, source, mask, index), f"{index}.ffn_norm"
        shapes = self.span_head(hidden, source) if spans else self.label_head(hidden)
        outputs = [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, shape in shapes.items()]
        outputs += [helper.make_tensor_value_info(name, kinds.FLOAT, ["rows", None]) for name in self._extra_outputs]
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [helper.make_tensor_value_info(name, kinds.INT64, ["batch", "sequence"]) for name in INPUTS],
            outputs,
            list(self._initializers.values()),
        )
        version = self._quantiser.opset
        opsets = [helper.make_opsetid("", version)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSIONS[version], producer_name="intbert")
        self._onnx.checker.check_model(model)
        return model

    def embeddings(self) -> str:
        """Word, position and token type rows, summed and normalised."""
        words = self.rows("word", lambda table: self.node("Gather", table, "input_ids"))
        types = self.rows("token_type", lambda table: self.node("Gather", table, "token_type_ids"))
        length = self.node("Shape", "input_ids", start=1, end=2)
        positions = self.rows(
            "position", lambda table: self.node("Slice", table, self.ints([0]), length, self.ints([0]))
        )
        total = self.node("Add", self.node("Add", words, types), positions)
        return self.norm(self.site("embedding_sum", total), "bert.embeddings.LayerNorm", "embedding_norm")

    def rows(self, kind: str, take: Callable[[str], str]) -> str:
        """The rows that `take` reads from one embedding table, in FP32."""
        name = f"bert.embeddings.{kind}_embeddings.weight"
        return self._quantiser.rows(self, name, take(self._quantiser.table(self, name, self._tensors[name])))

    def mask(self) -> str:
        """(batch, 1, 1, sequence): 0 where a token is, a large negative score where padding is."""
        wide = self.node("Unsqueeze", self.node("Unsqueeze", "attention_mask", self.ints([1])), self.ints([2]))
        padding = self.node("Sub", self.scalar(1.0), self.node("Cast", wide, to=self.float_type))
        return self.node("Mul", padding, self.scalar(MASKED_SCORE))

    def layer(self, hidden: str, source: str, mask: str, index: int) -> str:
        """One encoder layer, normalised after each residual sum. source: the site that `hidden` comes from."""
        prefix = f"bert.encoder.layer.{index}"
        context = self.attention(self.read(source, hidden), mask, prefix, index)
        read = self.read(f"{index}.context", context)
        projected = self.linear(read, f"{prefix}.attention.output.dense", f"{index}.attention_output")
        total = self.site(f"{index}.attention_sum", self.node("Add", projected, hidden))
        attended = self.norm(total, f"{prefix}.attention.output.LayerNorm", f"{index}.attention_norm")
        read = self.read(f"{index}.attention_norm", attended)
        inner = self.gelu(self.linear(read, f"{prefix}.intermediate.dense", f"{index}.ffn_input"))
        inner = self.read(f"{index}.gelu", self.site(f"{index}.gelu", inner))
        outer = self.linear(inner, f"{prefix}.output.dense", f"{index}.ffn_output")
        total = self.site(f"{index}.ffn_sum", self.node("Add", outer, attended))
        return self.norm(total, f"{prefix}.output.LayerNorm", f"{index}.ffn_norm")

    def attention(self, x: str, mask: str, prefix: str, index: int) -> str:
        """Softmax of scaled scores times values, heads side by side again."""
        head_dim = self._config.hidden_size // self._config.num_attention_heads
        query = self.heads(x, f"{prefix}.attention.self.query", f"{index}.query", [0, 2, 1, 3])
        value = self.heads(x, f"{prefix}.attention.self.value", f"{index}.value", [0, 2, 1, 3])
        key = self.heads(x, f"{prefix}.attention.self.key", f"{index}.key", [0, 2, 3, 1])
        scores = self.node("Div", self.node("MatMul", query, key), self.scalar(float(np.sqrt(head_dim))))
        scores = self.site(f"{index}.scores", scores)
        probabilities = self.node("Softmax", self.node("Add", scores, mask), axis=3)
        probabilities = self.site(f"{index}.probabilities", probabilities)
        context = self.node("Transpose", self.node("MatMul", probabilities, value), perm=[0, 2, 1, 3])
        return self.site(f"{index}.context", self.node("Reshape", context, self.ints([0, 0, self._config.hidden_size])))

    def heads(self, x: str, name: str, site: str, order: list[int]) -> str:
        """One projection as (batch, sequence, heads, head_dim), its axes in `order`."""
        heads = self._config.num_attention_heads
        shape = self.ints([0, 0, heads, self._config.hidden_size // heads])
        return self.site(site, self.node("Transpose", self.node("Reshape", self.linear(x, name), shape), perm=order))

    def gelu(self, x: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, in the pattern that becomes one BiasGelu."""
        erf = self.node("Erf", self.node("Div", x, self.scalar(float(np.sqrt(2)))))
        doubled = self.node("Mul", x, self.node("Add", erf, self.scalar(1.0)))
        return self.node("Mul", doubled, self.scalar(0.5))

    def label_head(self, hidden: str) -> dict[str, list[Any]]:
        """Pooler of the first token, tanh (or what the family has in its place), classifier."""
        first = self.read("first_token", self.node("Gather", hidden, self.index(0), axis=1))
        operator = {"tanh": "Tanh", "relu": "Relu"}[pooler_activation(self._config)]
        pooled = self.site("tanh", self.node(operator, self.linear(first, "bert.pooler.dense", "pooler")))
        logits = self.linear(self.read("tanh", pooled), "classifier", "logits")
        self.node("Identity", logits, result="logits")
        return {"logits": ["batch", self._tensors["classifier.bias"].size]}

    def span_head(self, hidden: str, source: str) -> dict[str, list[Any]]:
        """Start and end scores of every token."""
        both = self.linear(self.read(source, hidden), "qa_outputs", "logits")
        for index, name in enumerate(SPAN_OUTPUTS):
            self.node("Gather", both, self.index(index), axis=2, result=name)
        return {name: ["batch", "sequence"] for name in SPAN_OUTPUTS}

    def linear(self, x: str, name: str, site: str | None = None) -> str:
        """x W + b; the quantiser sees the sum when a site is named."""
        weight = self._quantiser.matrix(self, f"{name}.weight", self._tensors[f"{name}.weight"].T, x)
        product = self.node("MatMul", x, weight)
        total = self.node("Add", product, self._quantiser.bias(self, f"{name}.bias", self._tensors[f"{name}.bias"]))
        return total if site is None else self.site(site, total)

    def norm(self, x: str, name: str, site: str) -> str:
        """LayerNorm over the channels."""
        gain, shift = (
            self.initializer(self._tensors[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias")
        )
        epsilon = float(self._config.layer_norm_eps)
        return self.site(site, self.node("LayerNormalization", x, gain, shift, axis=-1, epsilon=epsilon))

    def site(self, name: str, tensor: str) -> str:
        """The tensor as the quantiser wants everything after to see it."""
        return self._quantiser.activation(self, name, tensor)

    def read(self, name: str, tensor: str) -> str:
        """The tensor as the quantiser wants matrices to see it."""
        return self._quantiser.linear_input(self, name, tensor)

    def output(self, name: str, tensor: str) -> None:
        """Make an FP32 tensor one more output of the graph: (rows, last axis)."""
        self._extra_outputs.append(self.node("Flatten", tensor, result=name, axis=-1))

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
