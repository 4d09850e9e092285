"""From a stored program and its real scales back to real parameters, and to a program again: no training, no torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from intbert.arithmetic.linear import UNSIGNED_OFFSET
from intbert.arithmetic.program import Layer, LayerNorm, Linear, NarrowLinear, Program, Tensors
from intbert.builder.quantise.export import Exported, export
from intbert.builder.quantise.fixed_point import Input
from intbert.builder.quantise.real import RealLayer, RealLinear, RealModel, RealNorm, Vector
from intbert.model.scales import LayerScales, NormScales, Scales


def reexport(tensors: Tensors, scales: Mapping[str, Any]) -> Exported:
    """Export a package's tensors again. scales: what `Scales.to_json` wrote into the manifest."""
    program = Program.from_tensors(tensors)
    kept = Scales.from_json(scales, program)
    return export(dequantise(program, kept), kept, program.embedding.word_multiplier)


def dequantise(program: Program, scales: Scales) -> RealModel:
    """The real parameters that the program's integers stand for."""
    table = program.embedding
    place = scales.embedding_sum * 2.0**table.position_shift
    before = (scales.embedding_norm, *(layer.ffn_norm for layer in scales.layers))
    pooler = program.head.pooler
    source = Input(scale=before[-1].view)
    pooled = np.full(table.word.shape[1], scales.pooled)
    rectified = program.head.relu_guard_bits is not None
    output = source if pooler is None else Input(scale=pooled, offset=0 if rectified else UNSIGNED_OFFSET)
    return RealModel(
        heads=program.heads,
        position_offset=program.position_offset,
        word=table.word * (table.word_multiplier.astype(np.float64) * scales.embedding_sum)[:, None],
        position=table.position.astype(np.float64) * place,
        token_type=table.token_type.astype(np.float64) * place,
        embedding_norm=_norm(program.embedding_norm, scales.embedding_norm),
        layers=tuple(
            _layer(layer, kept, norm, program.heads)
            for layer, kept, norm in zip(program.layers, scales.layers, before, strict=False)
        ),
        pooler=None
        if pooler is None or scales.pooler_weight is None
        else _linear(pooler, scales.pooler_weight, source),
        output=_linear(program.head.output, np.full(len(program.head.output.bias), scales.logit), output),
    )


def _layer(layer: Layer, scales: LayerScales, before: NormScales, heads: int) -> RealLayer:
    head_dim = len(layer.attention_norm.gain) // heads
    context = Input(scale=np.repeat(scales.context, head_dim))
    gelu = Input(scale=scales.gelu_output, offset=scales.gelu_zero_point)
    return RealLayer(
        qkv=_linear(layer.qkv, scales.qkv_weight, Input(scale=before.view)),
        attention_output=_linear(layer.attention_output, scales.attention_output_weight, context),
        attention_norm=_norm(layer.attention_norm, scales.attention_norm),
        ffn_input=_linear(layer.ffn_input, scales.ffn_input_weight, Input(scale=scales.attention_norm.view)),
        ffn_output=_linear(layer.ffn_output, scales.ffn_output_weight, gelu),
        ffn_norm=_norm(layer.ffn_norm, scales.ffn_norm),
    )


def _linear(linear: Linear, scale: Vector, source: Input) -> RealLinear:
    """Undo folding, zero-point correction and rounding constant."""
    rounding = (1 << linear.shift.astype(np.int64)) >> 1 if isinstance(linear, NarrowLinear) else 0
    bias = linear.bias + source.offset * linear.weight.sum(axis=1, dtype=np.int64) - rounding
    return RealLinear(weight=linear.weight * scale[:, None] / source.scale, bias=bias * scale)


def _norm(norm: LayerNorm, scales: NormScales) -> RealNorm:
    unit = scales.residual / 2.0**norm.shift
    gamma = norm.gain * unit / 8 / np.sqrt(len(norm.gain))
    return RealNorm(gamma=gamma, beta=(norm.bias.astype(np.float64) - 2.0 ** (norm.shift - 1)) * unit)
