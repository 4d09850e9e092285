"""Attention of one head: integer softmax with deferred normalisation (docs/arithmetic.md, section 4)."""

import numpy as np

from intbert.arithmetic.fixed import (
    S16_MAX,
    Int,
    bit_length,
    int64,
    multiply_round_q15,
    saturate8,
    shift_round,
)
from intbert.arithmetic.program import Attention

EXP2_LINEAR_Q15 = 22024  # 0.67212
EXP2_QUADRATIC_Q15 = 5640  # 0.17212; 1 - 0.67212 f + 0.17212 f^2 is 1 at f = 0 and 1/2 at f = 1, error 0.0019
CONTEXT_GUARD_BITS = 5


def exp2_negative_q15(t: Int, fraction_bits: int) -> Int:
    """(4.2) 2^-t in Q15 (32767 = 1) for t >= 0 with `fraction_bits` fractional bits."""
    fraction = (t << (15 - fraction_bits)) & S16_MAX
    slope = EXP2_LINEAR_Q15 - multiply_round_q15(fraction, np.asarray(EXP2_QUADRATIC_Q15))
    mantissa = S16_MAX - multiply_round_q15(fraction, slope)
    return int64(mantissa >> np.minimum(t >> fraction_bits, 15))


def softmax_numerators(scores: Int, shift: int, multiplier: int, fraction_bits: int) -> Int:
    """(4.1)-(4.3) unnormalised probabilities, 0..255, the row's maximum at 255.

    scores: (queries, keys), exact int32. The divisor, their sum, is applied after the product with V.
    """
    rounding = (1 << shift) >> 1
    distance = scores.max(axis=-1, keepdims=True) - scores + rounding
    distance16 = np.minimum(distance >> shift, S16_MAX)
    t = multiply_round_q15(distance16, np.asarray(multiplier))
    return multiply_round_q15(exp2_negative_q15(t, fraction_bits), np.asarray(255))


def normalise_context(sums: Int, denominator: Int, multiplier: int) -> Int:
    """(4.4) context = sums / denominator, requantised to s8 with one division a row.

    sums (queries, head_dim) = numerators @ V; denominator (queries, 1), at least 255.
    """
    shift = bit_length(denominator) - 8
    row_multiplier = (np.int64(multiplier) << shift) // denominator
    guarded = multiply_round_q15(sums >> shift, row_multiplier)
    return saturate8(shift_round(guarded, CONTEXT_GUARD_BITS))


def attend(query: Int, key: Int, value: Int, head: int, attention: Attention) -> Int:
    """One head of one sequence: query, key, value (tokens, head_dim) in s8 to the s8 context (tokens, head_dim)."""
    scores = exact_product(query, key.T)
    numerators = softmax_numerators(
        scores,
        int(attention.score_shift[head]),
        int(attention.score_multiplier[head]),
        attention.exp_fraction_bits,
    )
    sums = exact_product(numerators, value)
    denominator = numerators.sum(axis=-1, keepdims=True)
    return normalise_context(sums, denominator, int(attention.context_multiplier[head]))


def exact_product(a: Int, b: Int) -> Int:
    """Integer matrix product of 8-bit values through float64 BLAS; exact, since all sums are far below 2^53."""
    return int64((a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64))
