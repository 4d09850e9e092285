"""Integer LayerNorm with Newton square root, and the 8-bit view of its output (docs/arithmetic.md, section 3)."""

import numpy as np

from intbert.arithmetic.fixed import (
    Int,
    bit_length,
    int64,
    integer_sqrt,
    multiply_high32,
    multiply_round_q15,
    saturate8,
    saturate16,
)
from intbert.arithmetic.program import LayerNorm


def standardise(h: Int) -> Int:
    """(3.1)-(3.4) z = (h - mean) / sqrt(sum of squares) in Q29 for rows of h (rows, channels), |h| <= 2^21 - 1."""
    channels = h.shape[-1]
    total = h.sum(axis=-1, keepdims=True)
    mean = (2 * total + channels) // (2 * channels)
    centred = h - mean
    energy = np.maximum((centred * centred).sum(axis=-1, keepdims=True), 1)
    half_shift = (62 - bit_length(energy)) >> 1
    root = integer_sqrt(energy << (2 * half_shift))
    reciprocal = np.minimum((np.int64(1) << 61) // root, 2**31 - 1)
    return multiply_high32(centred << half_shift, reciprocal)


def layer_norm(h: Int, norm: LayerNorm) -> Int:
    """(3.5) the 16-bit residual: saturate16((multiply_high32(z, gain[c]) + bias[c]) >> shift)."""
    return saturate16((multiply_high32(standardise(h), int64(norm.gain)) + int64(norm.bias)) >> norm.shift)


def view_s8(o16: Int, norm: LayerNorm) -> Int:
    """(3.6) the 8-bit view that linear layers read: saturate8(multiply_round_q15(o16, view[c]))."""
    return saturate8(multiply_round_q15(o16, int64(norm.view)))
