"""Real scales of an integer program: one unit of the integer is `scale` of the real quantity.

Most follow from the program's multipliers and shifts. The few that don't are the kept scales: `Scales.to_json` writes
them into the manifest, so that a package can be exported again without training.

Shapes: n channels, i intermediate channels, a heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.gelu import UNITS_PER_ONE
from intbert.arithmetic.program import Layer, LayerNorm, NarrowLinear, Program, ResidualLinear
from intbert.arithmetic.tanh import INPUT_FRACTION_BITS

CONTEXT_BITS = 20
POOLER_SCALE = 2.0**-INPUT_FRACTION_BITS
TANH_SCALE = 2.0**-7
JsonObject = dict[str, Any]
Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class NormScales:
    """A LayerNorm's output."""

    residual: float  # 16-bit residual
    view: Vector  # (n,) 8-bit view; never finer than the residual


@dataclass(frozen=True, kw_only=True)
class LayerScales:
    """One encoder layer. Weight scales are per output channel, after the input's scales were folded in."""

    qkv_weight: Vector  # (3n,)
    query: Vector  # (a,)
    key: Vector  # (a,)
    value: Vector  # (a,)
    context: Vector  # (a,)
    attention_output_weight: Vector  # (n,)
    attention_sum: float  # residual sum before the LayerNorm; residual / attention_sum is a power of two
    attention_norm: NormScales
    ffn_input_weight: Vector  # (i,)
    gelu_range_shift: int  # the GELU's input scale is 2^range_shift / 7632
    gelu_output: Vector  # (i,)
    gelu_zero_point: int
    ffn_output_weight: Vector  # (n,)
    ffn_sum: float
    ffn_norm: NormScales


@dataclass(frozen=True, kw_only=True)
class Scales:
    """The whole model."""

    embedding_sum: float
    embedding_norm: NormScales
    layers: tuple[LayerScales, ...]
    pooler_weight: Vector | None  # (n,)
    logit: float  # one int32 unit; also the output weight's scale after folding
    relu: float | None = None  # one unit of the pooler's u8 output where it ends in ReLU; None: it ends in tanh

    @property
    def pooled(self) -> float:
        """One unit of the pooler's 8-bit output."""
        return TANH_SCALE if self.relu is None else self.relu

    def to_json(self) -> JsonObject:
        """The kept scales: those that a program's integers don't tell."""
        return {
            "embedding_sum": self.embedding_sum,
            "embedding_residual": self.embedding_norm.residual,
            "layers": [_kept(layer) for layer in self.layers],
            "logit": self.logit,
            **({} if self.relu is None else {"relu": self.relu}),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any], program: Program) -> "Scales":
        """All scales of `program` from the kept ones. KeyError names a missing field."""
        before = embedding_norm = _norm(program.embedding_norm, kept["embedding_residual"])
        layers: list[LayerScales] = []
        for layer, kept_layer in zip(program.layers, kept["layers"], strict=True):
            layers.append(_layer(layer, kept_layer, before))
            before = layers[-1].ffn_norm
        pooler, guard_bits = program.head.pooler, program.head.relu_guard_bits
        relu = None if guard_bits is None else float(kept["relu"])
        return cls(
            embedding_sum=kept["embedding_sum"],
            embedding_norm=embedding_norm,
            layers=tuple(layers),
            pooler_weight=None if pooler is None else _narrow_weight(pooler, pooler_scale(relu, guard_bits)),
            logit=kept["logit"],
            relu=relu,
        )


def pooler_scale(relu: float | None, guard_bits: int | None) -> float:
    """Real value of one unit of the pooler's 16-bit output."""
    return POOLER_SCALE if relu is None or guard_bits is None else relu / 2**guard_bits


def _norm(norm: LayerNorm, residual: float) -> NormScales:
    return NormScales(residual=residual, view=_coarser(residual, norm.view))


def _coarser(finer: float, multiplier: Any) -> Vector:
    scale: Vector = finer * 2**15 / np.asarray(multiplier, dtype=np.float64)
    return scale


def _narrow_weight(linear: NarrowLinear, output_scale: Vector | float) -> Vector:
    scale: Vector = output_scale * np.ldexp(linear.multiplier.astype(np.float64), -(15 + linear.shift))
    return scale


def _residual_weight(linear: ResidualLinear, sum_scale: float) -> Vector:
    scale: Vector = sum_scale * np.ldexp(linear.multiplier.astype(np.float64), linear.accumulator_shift - 32)
    return scale


def _layer(layer: Layer, kept: Mapping[str, Any], before: NormScales) -> LayerScales:
    query, key, value = (np.asarray(kept[name], dtype=np.float64) for name in ("query", "key", "value"))
    head_dim = len(layer.attention_norm.gain) // len(query)
    qkv = np.repeat(np.concatenate([query, key, value]), head_dim) / 2**layer.attention.qkv_guard_bits
    attention_norm = _norm(layer.attention_norm, kept["attention_residual"])
    attention_sum = before.residual / 2**layer.attention_output.residual_shift
    ffn_sum = attention_norm.residual / 2**layer.ffn_output.residual_shift
    gelu_input = gelu_input_scale(layer.gelu.range_shift)
    return LayerScales(
        qkv_weight=_narrow_weight(layer.qkv, qkv),
        query=query,
        key=key,
        value=value,
        context=value * 2**CONTEXT_BITS / layer.attention.context_multiplier,
        attention_output_weight=_residual_weight(layer.attention_output, attention_sum),
        attention_sum=attention_sum,
        attention_norm=attention_norm,
        ffn_input_weight=_narrow_weight(layer.ffn_input, gelu_input),
        gelu_range_shift=layer.gelu.range_shift,
        gelu_output=_coarser(gelu_input, layer.gelu.multiplier),
        gelu_zero_point=layer.gelu.zero_point,
        ffn_output_weight=_residual_weight(layer.ffn_output, ffn_sum),
        ffn_sum=ffn_sum,
        ffn_norm=_norm(layer.ffn_norm, kept["ffn_residual"]),
    )


def _kept(layer: LayerScales) -> JsonObject:
    return {
        "query": layer.query.tolist(),
        "key": layer.key.tolist(),
        "value": layer.value.tolist(),
        "attention_residual": layer.attention_norm.residual,
        "ffn_residual": layer.ffn_norm.residual,
    }


def gelu_input_scale(range_shift: int) -> float:
    """Real value of one unit of the 16-bit GELU input."""
    return float(2.0**range_shift / UNITS_PER_ONE)
