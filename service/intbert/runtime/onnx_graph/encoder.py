"""The whole integer program as one ONNX model: one sequence in, int32 logits out (docs/arithmetic.md, section 8)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.linear import UNSIGNED_OFFSET
from intbert.arithmetic.program import Attention, Embedding, Head, Layer, LayerNorm, Program, ResidualLinear
from intbert.runtime.onnx_graph.operations import (
    accumulate,
    add_residual,
    gelu_to_u8,
    layer_norm,
    narrow,
    narrow_to_s8,
    normalise_context,
    relu_to_u8,
    softmax_numerators,
    tanh_to_s8,
    view_s8,
)
from intbert.runtime.onnx_graph.values import IR_VERSION, OPSET, GraphWriter, Value

INPUTS = ("token_ids", "type_ids")
OUTPUT = "logits"


def build_integer_graph(program: Program) -> Any:
    """An `onnx.ModelProto` that equals `intbert.arithmetic.encoder.forward` on one sequence, bit for bit.

    Inputs `token_ids` and `type_ids`, int32 (tokens,); output `logits`, int32: (1, labels) with a pooler, otherwise
    (tokens, outputs). Every tensor between them is an integer (or the truth value of an integer comparison). The
    program must satisfy `intbert.arithmetic.bounds`. ConfigError without the package onnx.
    """
    writer = GraphWriter()
    with writer.scope("embedding"):
        h = embed(writer, program.embedding, program.position_offset)
        residual = layer_norm(h, program.embedding_norm, "embedding_norm")
        view = view_s8(residual, program.embedding_norm, "embedding_norm")
    for index, layer in enumerate(program.layers):
        with writer.scope(f"layers.{index}"):
            residual, view = encoder_layer(layer, f"layers.{index}", program.heads, residual, view)
    with writer.scope("head"):
        logits = writer.cast(head_logits(program.head, view), np.int32)
    writer.node("Identity", logits, result=OUTPUT)
    return _model(writer, program)


def embed(writer: GraphWriter, embedding: Embedding, position_offset: int) -> Value:
    """(6.1); an id or a position outside its table is an error of Gather in ONNX Runtime."""
    token_ids, type_ids = (writer.widen(name) for name in INPUTS)
    end = writer.cast(token_ids.op("Size") + position_offset, np.int32)
    steps = writer.node("Range", writer.raw(np.int32(position_offset)), end, writer.raw(np.int32(1)))
    positions = writer.widen(steps)  # without a Cast ONNX Runtime makes Range and Gather a Slice, which clamps silently
    word = _rows(writer, embedding.word, "word", token_ids)
    multiplier = _rows(writer, embedding.word_multiplier, "word_multiplier", token_ids).reshape(-1, 1)
    position = _rows(writer, embedding.position, "position", positions)
    token_type = _rows(writer, embedding.token_type, "token_type", type_ids)
    return word * multiplier + ((position + token_type) << embedding.position_shift)


def encoder_layer(layer: Layer, name: str, heads: int, residual: Value, view: Value) -> tuple[Value, Value]:
    """One layer: the 16-bit residual and its 8-bit view, (tokens, n) each, in and out."""
    writer = view.writer
    with writer.scope("attention"):
        x16 = narrow(accumulate(view + UNSIGNED_OFFSET, layer.qkv, f"{name}.qkv"), layer.qkv, f"{name}.qkv")
        qkv = narrow_to_s8(x16, layer.attention.qkv_guard_bits)
        x_u8 = self_attention(layer.attention, heads, qkv, layer.attention_norm.gain.size) + UNSIGNED_OFFSET
        residual = _add_and_norm(layer.attention_output, layer.attention_norm, f"{name}.attention", x_u8, residual)
        view = view_s8(residual, layer.attention_norm, f"{name}.attention_norm")
    with writer.scope("ffn"):
        acc = accumulate(view + UNSIGNED_OFFSET, layer.ffn_input, f"{name}.ffn_input")
        x_u8 = gelu_to_u8(narrow(acc, layer.ffn_input, f"{name}.ffn_input"), layer.gelu, f"{name}.gelu")
        residual = _add_and_norm(layer.ffn_output, layer.ffn_norm, f"{name}.ffn", x_u8, residual)
        return residual, view_s8(residual, layer.ffn_norm, f"{name}.ffn_norm")


def self_attention(attention: Attention, heads: int, qkv: Value, channels: int) -> Value:
    """Context (tokens, n) in s8 from qkv (tokens, 3n) in s8; there is one sequence, so every token sees every token."""
    parts = (qkv + UNSIGNED_OFFSET).reshape(-1, 3, heads, channels // heads).transpose(1, 2, 0, 3)
    query, key, value = (parts.take(part) for part in range(3))  # (heads, tokens, head_dim), u8
    scores = query.matmul_u8(key.transpose(0, 2, 1), UNSIGNED_OFFSET, UNSIGNED_OFFSET)
    numerators = softmax_numerators(scores, attention)
    sums = numerators.matmul_u8(value, 0, UNSIGNED_OFFSET)
    context = normalise_context(sums, numerators.row_sum(), attention)
    return context.transpose(1, 0, 2).reshape(-1, channels)


def head_logits(head: Head, view: Value) -> Value:
    """(8.1)"""
    if head.pooler is None:
        return accumulate(view + UNSIGNED_OFFSET, head.output, "head.output")
    first = view.take([0])
    x16 = narrow(accumulate(first + UNSIGNED_OFFSET, head.pooler, "head.pooler"), head.pooler, "head.pooler")
    if head.relu_guard_bits is None:
        return accumulate(tanh_to_s8(x16) + UNSIGNED_OFFSET, head.output, "head.output")
    return accumulate(relu_to_u8(x16, head.relu_guard_bits), head.output, "head.output")


def _add_and_norm(linear: ResidualLinear, norm: LayerNorm, name: str, x_u8: Value, residual: Value) -> Value:
    acc = accumulate(x_u8, linear, f"{name}_output")
    return layer_norm(add_residual(acc, residual, linear, f"{name}_output"), norm, f"{name}_norm")


def _rows(writer: GraphWriter, table: NDArray[Any], name: str, ids: Value) -> Value:
    """Rows of a table that keeps its storage type; only what was looked up is widened."""
    return writer.widen(writer.node("Gather", writer.raw(table, f"embedding.{name}"), ids, axis=0))


def _model(writer: GraphWriter, program: Program) -> Any:
    from onnx import TensorProto, checker, helper

    rows = "tokens" if program.head.pooler is None else 1
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, ["tokens"]) for name in INPUTS]
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.INT32, [rows, program.head.output.weight.shape[0]])
    graph = helper.make_graph(writer.nodes, "intbert", inputs, [output], list(writer.initializers.values()))
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="intbert")
    helper.set_model_props(model, {"arithmetic_version": str(ARITHMETIC_VERSION)})
    checker.check_model(model)
    return model
