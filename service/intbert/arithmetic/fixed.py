"""Fixed-point primitives (docs/arithmetic.md, section 1). Arrays hold exact integers in int64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

S8_MAX = 127
S16_MIN, S16_MAX = -32768, 32767
SUM22_MAX = 2**21 - 1


def int64(values: Any) -> Int:
    """Widen any integer array (int8, uint8, int16, int32) to int64, in which no operation here can overflow."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"integer array expected, got {array.dtype}")
    return array.astype(np.int64)


def saturate8(x: Int) -> Int:
    """(1.1) clamp to [-127, 127]; -128 never occurs."""
    return np.clip(x, -S8_MAX, S8_MAX)


def saturate16(x: Int) -> Int:
    """(1.2) clamp to [-32768, 32767], what one SIMD pack instruction does."""
    return np.clip(x, S16_MIN, S16_MAX)


def saturate22(x: Int) -> Int:
    """(1.3) clamp to [-(2^21 - 1), 2^21 - 1]."""
    return np.clip(x, -SUM22_MAX, SUM22_MAX)


def shift_round(x: Int, shift: int) -> Int:
    """(1.4) (x + 2^(shift-1)) >> shift, half up; the identity for shift 0."""
    return x if shift == 0 else (x + (1 << (shift - 1))) >> shift


def multiply_round_q15(a: Int, b: Int) -> Int:
    """(1.5) (a*b + 2^14) >> 15 for 16-bit a, b: `vpmulhrsw` on x86, `sqrdmulh` on AArch64.

    (-32768, -32768) is excluded.
    """
    return (a * b + (1 << 14)) >> 15


def multiply_high32(a: Int, b: Int) -> Int:
    """(1.6) floor(a*b / 2^32) for 32-bit a, b: the upper half of the 64-bit product."""
    return (a * b) >> 32


def integer_sqrt(x: Int) -> Int:
    """(1.7) floor(sqrt(x)) for 1 <= x < 2^62: Newton's iteration from 2^ceil(bits/2) down (I-BERT, algorithm 4)."""
    root = np.int64(1) << ((bit_length(x) + 1) >> 1)
    while True:
        smaller = (root + x // root) >> 1
        if np.all(smaller >= root):
            return root
        root = np.minimum(root, smaller)


def bit_length(x: Int) -> Int:
    """Number of bits of x >= 0; 0 for 0. Integer halving, since a float logarithm would round near 2^53."""
    length = np.zeros_like(x)
    rest = x.copy()
    for step in (32, 16, 8, 4, 2, 1):
        high = rest >> step
        wide = high > 0
        length = np.where(wide, length + step, length)
        rest = np.where(wide, high, rest)
    return length + (rest > 0)
