"""How far a program stays below the bounds of section 9, for people: `bounds.py` decides, this lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

import numpy as np

from intbert.arithmetic.bounds import CONTEXT_MULTIPLIER_MAX, INT32_LIMIT, accumulator_bound
from intbert.arithmetic.fixed import SUM22_MAX, int64
from intbert.arithmetic.program import Embedding, Layer, LayerNorm, Linear, Program, ResidualLinear


@dataclass(frozen=True, kw_only=True)
class Margin:
    """One proved bound: the largest magnitude that any input can give, and what it must not reach."""

    tensor: str
    equation: str  # of docs/arithmetic.md
    largest: int
    limit: int

    @property
    def spare_bits(self) -> float:
        """log2(limit / largest)."""
        return log2(self.limit / max(self.largest, 1))


def margins(program: Program) -> Iterator[Margin]:
    """The bounds on what is computed, in the program's order."""
    yield _embedding(program.embedding)
    yield from _norm(program.embedding_norm, "embedding_norm")
    for index, layer in enumerate(program.layers):
        yield from _layer(layer, f"layers.{index}")
    if program.head.pooler is not None:
        yield _accumulator(program.head.pooler, "head.pooler")
    yield _accumulator(program.head.output, "head.output")


def _layer(layer: Layer, name: str) -> Iterator[Margin]:
    yield _accumulator(layer.qkv, f"{name}.qkv")
    yield Margin(
        tensor=f"{name}.attention.context_multiplier",
        equation="9.6",
        largest=int(int64(layer.attention.context_multiplier).max()),
        limit=CONTEXT_MULTIPLIER_MAX,
    )
    yield _shifted(layer.attention_output, f"{name}.attention_output")
    yield from _norm(layer.attention_norm, f"{name}.attention_norm")
    yield _accumulator(layer.ffn_input, f"{name}.ffn_input")
    yield _shifted(layer.ffn_output, f"{name}.ffn_output")
    yield from _norm(layer.ffn_norm, f"{name}.ffn_norm")


def _accumulator(linear: Linear, name: str) -> Margin:
    return Margin(tensor=name, equation="9.1", largest=int(accumulator_bound(linear).max()), limit=INT32_LIMIT)


def _shifted(linear: ResidualLinear, name: str) -> Margin:
    largest = int(accumulator_bound(linear).max()) << linear.accumulator_shift
    return Margin(tensor=name, equation="9.2", largest=largest, limit=INT32_LIMIT)


def _embedding(embedding: Embedding) -> Margin:
    place = sum(int(np.abs(int64(table)).max()) for table in (embedding.position, embedding.token_type))
    words = 127 * int(int64(embedding.word_multiplier).max())
    return Margin(
        tensor="embedding", equation="9.3", largest=words + (place << embedding.position_shift), limit=SUM22_MAX
    )


def _norm(norm: LayerNorm, name: str) -> Iterator[Margin]:
    for field, limit in (("gain", 2**31 - 1), ("bias", 2**30)):
        largest = int(np.abs(int64(getattr(norm, field))).max())
        yield Margin(tensor=f"{name}.{field}", equation="9.4", largest=largest, limit=limit)
