"""The operations of `intbert.arithmetic` as graph expressions, in the same order and with the same names.

Each function writes the nodes of one numbered equation of docs/arithmetic.md; the reference stands beside it there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.fixed import S8_MAX, S16_MAX, S16_MIN, SUM22_MAX, int64
from intbert.arithmetic.gelu import TAIL_OFFSET_Q15
from intbert.arithmetic.program import Attention, Gelu, LayerNorm, Linear, NarrowLinear, ResidualLinear
from intbert.arithmetic.softmax import CONTEXT_GUARD_BITS, EXP2_LINEAR_Q15, EXP2_QUADRATIC_Q15
from intbert.arithmetic.tanh import INPUT_FRACTION_BITS, TWO_LOG2_E_Q13
from intbert.runtime.onnx_graph.values import Value

WEIGHT_OFFSET = 128  # s8 weights as u8, see `Value.matmul_u8`
# The root's argument is in [2^60, 2^62), so 2^31 is at most twice the root. The relative error falls from 1 to at most
# 1/4, 1/40, 3.1e-4, 4.7e-8 (51 units); the fifth step leaves less than one unit, the sixth none.
NEWTON_STEPS = 6


def saturate8(x: Value) -> Value:
    """(1.1)"""
    return x.clip(-S8_MAX, S8_MAX)


def saturate16(x: Value) -> Value:
    """(1.2)"""
    return x.clip(S16_MIN, S16_MAX)


def shift_round(x: Value, shift: int) -> Value:
    """(1.4)"""
    return x if shift == 0 else (x + (1 << (shift - 1))) >> shift


def multiply_round_q15(a: Value, b: "Value | int | NDArray[np.int64]") -> Value:
    """(1.5)"""
    return (a * b + (1 << 14)) >> 15


def multiply_high32(a: Value, b: Value) -> Value:
    """(1.6)"""
    return (a * b) >> 32


def integer_sqrt_normalised(x: Value) -> Value:
    """(1.7) for 2^60 <= x < 2^62, where Newton's start is always 2^31 and a fixed number of steps suffices."""
    root = x.writer.constant(1 << 31)
    for _ in range(NEWTON_STEPS):
        root = root.minimum((root + x // root).unsigned_shift(x.writer.constant(1)))
    return root


def accumulate(x_u8: Value, linear: Linear, name: str) -> Value:
    """(2.1)"""
    writer = x_u8.writer
    weight = np.ascontiguousarray((linear.weight.T.astype(np.int16) + WEIGHT_OFFSET).astype(np.uint8))
    product = x_u8.matmul_u8(writer.raw(weight, f"{name}.weight"), 0, WEIGHT_OFFSET)
    return product + writer.parameter(linear.bias, f"{name}.bias")


def narrow(acc: Value, linear: NarrowLinear, name: str) -> Value:
    """(2.2)"""
    shifted = saturate16(acc >> int64(linear.shift))
    return multiply_round_q15(shifted, acc.writer.parameter(linear.multiplier, f"{name}.multiplier"))


def narrow_to_s8(x16: Value, guard_bits: int) -> Value:
    """(2.3)"""
    return saturate8(shift_round(x16, guard_bits))


def add_residual(acc: Value, residual_s16: Value, linear: ResidualLinear, name: str) -> Value:
    """(2.4)"""
    multiplier = acc.writer.parameter(linear.multiplier, f"{name}.multiplier")
    scaled = multiply_high32(acc << linear.accumulator_shift, multiplier)
    return ((residual_s16 << linear.residual_shift) + scaled).clip(-SUM22_MAX, SUM22_MAX)


def standardise(h: Value, channels: int) -> Value:
    """(3.1)-(3.4) of rows (tokens, channels)."""
    mean = (h.row_sum() * 2 + channels).floor_divide(2 * channels)
    centred = h - mean
    energy = (centred * centred).row_sum().maximum(1)
    half_shift = (62 - energy.bit_length()).unsigned_shift(h.writer.constant(1))
    factor = half_shift.power_of_two()
    root = integer_sqrt_normalised(energy * factor * factor)
    reciprocal = (h.writer.constant(1 << 61) // root).minimum(2**31 - 1)
    return multiply_high32(centred * factor, reciprocal)


def layer_norm(h: Value, norm: LayerNorm, name: str) -> Value:
    """(3.5)"""
    gain, bias = (h.writer.parameter(getattr(norm, field), f"{name}.{field}") for field in ("gain", "bias"))
    return saturate16((multiply_high32(standardise(h, norm.gain.size), gain) + bias) >> norm.shift)


def view_s8(o16: Value, norm: LayerNorm, name: str) -> Value:
    """(3.6)"""
    return saturate8(multiply_round_q15(o16, o16.writer.parameter(norm.view, f"{name}.view")))


def exp2_negative_q15(t: Value, fraction_bits: int) -> Value:
    """(4.2)"""
    fraction = (t << (15 - fraction_bits)) & S16_MAX
    slope = EXP2_LINEAR_Q15 - multiply_round_q15(fraction, EXP2_QUADRATIC_Q15)
    mantissa = S16_MAX - multiply_round_q15(fraction, slope)
    return mantissa.unsigned_shift(t.unsigned_shift(t.writer.constant(fraction_bits)).minimum(15))


def softmax_numerators(scores: Value, attention: Attention) -> Value:
    """(4.1)-(4.3) for all heads: scores (heads, queries, keys)."""
    shift, multiplier = per_head(attention.score_shift), per_head(attention.score_multiplier)
    distance = scores.row_max() - scores + (np.int64(1) << shift >> 1)
    distance16 = (distance >> shift).minimum(S16_MAX)
    t = multiply_round_q15(distance16, multiplier)
    return multiply_round_q15(exp2_negative_q15(t, attention.exp_fraction_bits), 255)


def normalise_context(sums: Value, denominator: Value, attention: Attention) -> Value:
    """(4.4) for all heads: sums (heads, queries, head_dim), denominator (heads, queries, 1)."""
    shift = denominator.bit_length() - 8
    row_multiplier = (shift.power_of_two() * per_head(attention.context_multiplier)) // denominator
    guarded = multiply_round_q15(sums >> shift, row_multiplier)
    return saturate8(shift_round(guarded, CONTEXT_GUARD_BITS))


def per_head(constants: NDArray[Any]) -> NDArray[np.int64]:
    """(heads,) to (heads, 1, 1)."""
    return int64(constants).reshape(-1, 1, 1)


def gelu(x16: Value, range_shift: int) -> Value:
    """(5.1)"""
    magnitude = x16.abs()
    root = TAIL_OFFSET_Q15 - (magnitude.minimum(TAIL_OFFSET_Q15 >> range_shift) << range_shift)
    square = multiply_round_q15(root, root)
    tail = multiply_round_q15(square, square)
    return x16.maximum(0) - multiply_round_q15(magnitude, tail)


def gelu_to_u8(x16: Value, parameters: Gelu, name: str) -> Value:
    """(5.2)"""
    multiplier = x16.writer.parameter(parameters.multiplier, f"{name}.multiplier")
    return (multiply_round_q15(gelu(x16, parameters.range_shift), multiplier) + parameters.zero_point).clip(0, 255)


def relu_to_u8(x16: Value, guard_bits: int) -> Value:
    """(7.4)"""
    return shift_round(x16, guard_bits).clip(0, 255)


def tanh_to_s8(x16: Value) -> Value:
    """(7.1)-(7.3)"""
    t = (x16.abs() * TWO_LOG2_E_Q13).unsigned_shift(x16.writer.constant(13)).minimum(S16_MAX)
    e = exp2_negative_q15(t, INPUT_FRACTION_BITS)
    denominator = e + 32768
    y = ((32768 - e) * S16_MAX + denominator.unsigned_shift(e.writer.constant(1))) // denominator
    return saturate8(shift_round(y * x16.op("Sign"), 8))
