"""Real scales of an integer program. Only the exporter knows them; the manifest keeps them, so that a package can be
exported again without training. One unit of the integer is `scale` of the real quantity.

Shapes: n channels, i intermediate channels, a heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, get_type_hints

import numpy as np

from intbert.builder.quantise.real import Vector

SIGNIFICANT_DIGITS = 12
JsonObject = dict[str, Any]


class _Json:
    """JSON of a dataclass of floats, integers, vectors and nested ones of the same kind."""

    def to_json(self) -> JsonObject:
        """Plain dictionaries, lists and numbers, rounded to twelve digits: enough to give the same integers again."""
        return {field.name: _encode(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. KeyError names a missing field."""
        hints = get_type_hints(cls)
        return cls(**{name: _decode(hint, document[name]) for name, hint in hints.items()})


@dataclass(frozen=True, kw_only=True)
class NormScales(_Json):
    """A LayerNorm's output."""

    residual: float  # 16-bit residual
    view: Vector  # (n,) 8-bit view; never finer than the residual


@dataclass(frozen=True, kw_only=True)
class LayerScales(_Json):
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
class Scales(_Json):
    """The whole model."""

    embedding_sum: float
    embedding_norm: NormScales
    layers: tuple[LayerScales, ...]
    pooler_weight: Vector | None  # (n,)
    logit: float  # one int32 unit; also the output weight's scale after folding


def _encode(value: Any) -> Any:
    if isinstance(value, _Json):
        return value.to_json()
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, np.ndarray):
        return [_encode(float(item)) for item in value]
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _decode(hint: Any, value: Any) -> Any:
    if value is None or hint in (int, float):
        return value
    if isinstance(hint, type) and issubclass(hint, _Json):
        return hint.from_json(value)
    if hint == tuple[LayerScales, ...]:
        return tuple(LayerScales.from_json(item) for item in value)
    return np.asarray(value, dtype=np.float64)
