"""Proof that a program cannot overflow: checked at export, asserted again at load (docs/arithmetic.md, section 9).

Every bound follows from the stored integers alone, for every possible input text. A program that passes may be computed
with 32-bit accumulators in any order of summation.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.fixed import S16_MAX, SUM22_MAX, int64
from intbert.arithmetic.program import (
    Attention,
    Embedding,
    Gelu,
    Layer,
    LayerNorm,
    Linear,
    NarrowLinear,
    Program,
    ResidualLinear,
)

INT32_LIMIT = 2**31
CHANNELS_MAX = 1024  # (9.4): the sum of a row of sum22 stays below 2^31
TOKENS_MAX = 1024  # (9.6): the softmax denominator stays below 2^18
CONTEXT_MULTIPLIER_MAX = S16_MAX * 128  # (9.6): the row multiplier fits 15 bits
GELU_RANGE_SHIFT_MAX = 4
NORM_SHIFT_MAX = 20
RELU_GUARD_BITS_MAX = 7


class BoundsError(ValueError):
    """A program whose constants do not satisfy a bound of section 9; the message names the tensor and the bound."""


def check_bounds(program: Program) -> None:
    """Raise BoundsError unless shapes agree and every bound of section 9 holds."""
    for message in violations(program):
        raise BoundsError(message)


def violations(program: Program) -> Iterator[str]:
    """Every violated bound, as text that names the tensor."""
    channels = program.embedding.word.shape[1] if program.embedding.word.ndim == 2 else 0
    if not 1 <= channels <= CHANNELS_MAX:
        yield f"embedding.word: {channels} channels, allowed are 1 to {CHANNELS_MAX}"
        return
    if program.heads < 1 or channels % program.heads:
        yield f"heads: {channels} channels cannot be divided among {program.heads} heads"
        return
    yield from _embedding(program.embedding, program.position_offset, channels)
    yield from _norm(program.embedding_norm, "embedding_norm", channels)
    for index, layer in enumerate(program.layers):
        yield from _layer(layer, f"layers.{index}", channels, program.heads)
    if program.head.pooler is not None:
        yield from _narrow(program.head.pooler, "head.pooler", channels, channels)
    if program.head.relu_guard_bits is not None:
        yield from _range(program.head.relu_guard_bits, "head.relu_guard_bits", 1, RELU_GUARD_BITS_MAX)
    yield from _linear(program.head.output, "head.output", None, channels)


def accumulator_bound(linear: Linear) -> NDArray[np.int64]:
    """(9.1) largest magnitude of each output's accumulator, over all inputs in 0..255 and every partial sum."""
    magnitude = np.abs(linear.weight, dtype=np.int16)  # as narrow as holds 128: weights are large
    return int64(np.abs(int64(linear.bias)) + 255 * magnitude.sum(axis=1, dtype=np.int64))


def _layer(layer: Layer, name: str, channels: int, heads: int) -> Iterator[str]:
    intermediate = _rows(layer.ffn_input.weight)
    yield from _narrow(layer.qkv, f"{name}.qkv", 3 * channels, channels)
    yield from _attention(layer.attention, f"{name}.attention", heads)
    yield from _residual(layer.attention_output, f"{name}.attention_output", channels, channels)
    yield from _norm(layer.attention_norm, f"{name}.attention_norm", channels)
    yield from _narrow(layer.ffn_input, f"{name}.ffn_input", intermediate, channels)
    yield from _gelu(layer.gelu, f"{name}.gelu", intermediate)
    yield from _residual(layer.ffn_output, f"{name}.ffn_output", channels, intermediate)
    yield from _norm(layer.ffn_norm, f"{name}.ffn_norm", channels)


def _rows(matrix: NDArray[Any]) -> int:
    """0 for anything but a matrix: no tensor of a program has 0 rows, so a bound names it."""
    return int(matrix.shape[0]) if matrix.ndim == 2 else 0


def _shape(array: NDArray[Any], name: str, expected: tuple[int, ...]) -> Iterator[str]:
    if array.shape != expected:
        yield f"{name}: shape {array.shape}, expected {expected}"


def _range(values: Any, name: str, low: int, high: int) -> Iterator[str]:
    values = np.asarray(values)  # compared in its own type: widened tables would be the peak of a server's memory
    if values.size and (values.min() < low or values.max() > high):
        yield f"{name}: values {values.min()}..{values.max()}, allowed are {low}..{high}"


def _embedding(embedding: Embedding, position_offset: int, channels: int) -> Iterator[str]:
    vocabulary, positions = _rows(embedding.word), _rows(embedding.position)
    if not vocabulary:
        yield "embedding.word: no rows"
        return
    yield from _shape(embedding.word_multiplier, "embedding.word_multiplier", (vocabulary,))
    for name, table in (("position", embedding.position), ("token_type", embedding.token_type)):
        if table.ndim != 2 or table.shape[1] != channels or not table.shape[0]:
            yield f"embedding.{name}: shape {table.shape}, expected (rows, {channels})"
            return
    if not 0 <= position_offset < positions or positions - position_offset > TOKENS_MAX:
        yield f"position_offset {position_offset} with {positions} positions: 1 to {TOKENS_MAX} tokens must remain"
    yield from _range(embedding.word, "embedding.word", -127, 127)
    yield from _range(embedding.word_multiplier, "embedding.word_multiplier", 0, S16_MAX)
    yield from _range(embedding.position_shift, "embedding.position_shift", 0, 6)
    place = int(np.abs(int64(embedding.position)).max()) + int(np.abs(int64(embedding.token_type)).max())
    bound = 127 * int(int64(embedding.word_multiplier).max()) + (place << max(embedding.position_shift, 0))
    if bound > SUM22_MAX:
        yield f"embedding: sums up to {bound} exceed {SUM22_MAX} (9.3)"


def _norm(norm: LayerNorm, name: str, channels: int) -> Iterator[str]:
    for field in ("gain", "bias", "view"):
        yield from _shape(getattr(norm, field), f"{name}.{field}", (channels,))
    yield from _range(norm.gain, f"{name}.gain", -(2**31 - 1), 2**31 - 1)
    yield from _range(norm.bias, f"{name}.bias", -(2**30), 2**30)
    yield from _range(norm.shift, f"{name}.shift", 1, NORM_SHIFT_MAX)
    yield from _range(norm.view, f"{name}.view", 0, S16_MAX)


def _linear(linear: Linear, name: str, outputs: int | None, inputs: int) -> Iterator[str]:
    if linear.weight.ndim != 2 or linear.weight.shape[1] != inputs or outputs not in (None, linear.weight.shape[0]):
        yield f"{name}.weight: shape {linear.weight.shape}, expected ({outputs or 'outputs'}, {inputs})"
        return
    yield from _shape(linear.bias, f"{name}.bias", (linear.weight.shape[0],))
    yield from _range(linear.weight, f"{name}.weight", -127, 127)
    bound = int(accumulator_bound(linear).max())
    if bound >= INT32_LIMIT:
        yield f"{name}: accumulators up to {bound} exceed 32 bits (9.1)"


def _narrow(linear: NarrowLinear, name: str, outputs: int, inputs: int) -> Iterator[str]:
    yield from _linear(linear, name, outputs, inputs)
    yield from _shape(linear.shift, f"{name}.shift", (outputs,))
    yield from _shape(linear.multiplier, f"{name}.multiplier", (outputs,))
    yield from _range(linear.shift, f"{name}.shift", 0, 31)
    yield from _range(linear.multiplier, f"{name}.multiplier", 0, S16_MAX)


def _residual(linear: ResidualLinear, name: str, outputs: int, inputs: int) -> Iterator[str]:
    yield from _linear(linear, name, outputs, inputs)
    yield from _shape(linear.multiplier, f"{name}.multiplier", (outputs,))
    yield from _range(linear.multiplier, f"{name}.multiplier", 0, 2**31 - 1)
    yield from _range(linear.residual_shift, f"{name}.residual_shift", 0, 6)
    yield from _range(linear.accumulator_shift, f"{name}.accumulator_shift", 0, 30)
    bound = int(accumulator_bound(linear).max()) << max(linear.accumulator_shift, 0)
    if bound >= INT32_LIMIT:
        yield f"{name}: shifted accumulators up to {bound} exceed 32 bits (9.2)"


def _attention(attention: Attention, name: str, heads: int) -> Iterator[str]:
    for field in ("score_shift", "score_multiplier", "context_multiplier"):
        yield from _shape(getattr(attention, field), f"{name}.{field}", (heads,))
    yield from _range(attention.qkv_guard_bits, f"{name}.qkv_guard_bits", 1, 7)
    yield from _range(attention.exp_fraction_bits, f"{name}.exp_fraction_bits", 8, 10)
    yield from _range(attention.score_shift, f"{name}.score_shift", 0, 30)
    yield from _range(attention.score_multiplier, f"{name}.score_multiplier", 0, S16_MAX)
    yield from _range(attention.context_multiplier, f"{name}.context_multiplier", 0, CONTEXT_MULTIPLIER_MAX)


def _gelu(gelu: Gelu, name: str, intermediate: int) -> Iterator[str]:
    yield from _shape(gelu.multiplier, f"{name}.multiplier", (intermediate,))
    yield from _range(gelu.range_shift, f"{name}.range_shift", 0, GELU_RANGE_SHIFT_MAX)
    yield from _range(gelu.multiplier, f"{name}.multiplier", 0, S16_MAX)
    yield from _range(gelu.zero_point, f"{name}.zero_point", 0, 255)


def tokens_max(program: Program) -> int:
    """Longest sequence that the position table can number."""
    return int(program.embedding.position.shape[0]) - program.position_offset
