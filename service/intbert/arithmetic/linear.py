"""Linear layers: exact 32-bit accumulation and three ways to leave the accumulator (docs/arithmetic.md, section 2)."""

import numpy as np

from intbert.arithmetic.fixed import (
    Int,
    int64,
    multiply_high32,
    multiply_round_q15,
    saturate8,
    saturate16,
    saturate22,
    shift_round,
)
from intbert.arithmetic.program import Linear, NarrowLinear, ResidualLinear

UNSIGNED_OFFSET = 128  # a signed 8-bit view q is multiplied as the unsigned q + 128; the bias holds the correction


def accumulate(x_u8: Int, linear: Linear) -> Int:
    """(2.1) acc[t, c] = bias[c] + sum_k x[t, k] * w[c, k], x in 0..255, int32 by the bounds proved at export.

    Shapes: x (tokens, inputs), weight (outputs, inputs), result (tokens, outputs). The product goes through float64
    BLAS: every partial sum stays below 2^53 (asserted), so no bit is lost and whole models verify in seconds.
    """
    inputs = linear.weight.shape[1]
    if inputs * 255 * 127 >= 2**53:
        raise ValueError(f"{inputs} inputs exceed what float64 accumulates exactly")
    product = x_u8.astype(np.float64) @ linear.weight.T.astype(np.float64)
    return product.astype(np.int64) + int64(linear.bias)


def narrow(acc: Int, linear: NarrowLinear) -> Int:
    """(2.2) 16-bit requantisation: multiply_round_q15(saturate16(acc >> shift[c]), multiplier[c]).

    The rounding constant 2^(shift[c]-1) of the first shift is part of the bias.
    """
    return multiply_round_q15(saturate16(acc >> int64(linear.shift)), int64(linear.multiplier))


def narrow_to_s8(x16: Int, guard_bits: int) -> Int:
    """(2.3) drop the guard bits of a 16-bit value: saturate8(shift_round(x16, guard_bits))."""
    return saturate8(shift_round(x16, guard_bits))


def add_residual(acc: Int, residual_s16: Int, linear: ResidualLinear) -> Int:
    """(2.4) saturate22((residual << residual_shift) + multiply_high32(acc << accumulator_shift, multiplier[c]))."""
    scaled = multiply_high32(acc << linear.accumulator_shift, int64(linear.multiplier))
    return saturate22((residual_s16 << linear.residual_shift) + scaled)
