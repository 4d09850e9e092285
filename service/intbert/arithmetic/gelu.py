"""Integer GELU in 16-bit lanes (docs/arithmetic.md, section 5).

I-BERT (eq. 8) writes GELU(x) = x/2 (1 + erf(x/sqrt 2)) and replaces erf by a second-order polynomial of the clipped
argument (largest error 0.018). With w(a) = Phi(-a), the normal tail, GELU(x) = max(x, 0) - |x| w(|x|) for both
signs; here w(a) = (0.86090 - 0.23291 a)^4, two multiplications in 16 bits, largest error 0.004.
"""

import numpy as np

from intbert.arithmetic.fixed import Int, int64, multiply_round_q15
from intbert.arithmetic.program import Gelu

TAIL_OFFSET_Q15 = 28210  # 0.86090: the tail's fourth root at 0
UNITS_PER_ONE = 7632  # 0.23291 in Q15: the input's scale is 2^range_shift / 7632, so the slope costs no multiplication


def gelu(x16: Int, range_shift: int) -> Int:
    """(5.1) GELU of a 16-bit x with scale 2^range_shift / 7632; the result is 16-bit with the same scale."""
    magnitude = np.abs(x16)
    clipped = np.minimum(magnitude, TAIL_OFFSET_Q15 >> range_shift)
    root = TAIL_OFFSET_Q15 - (clipped << range_shift)
    square = multiply_round_q15(root, root)
    tail = multiply_round_q15(square, square)
    # 2^15, the magnitude of -32768, does not fit 16 bits; its tail is 0, so every implementation agrees on the product.
    return np.maximum(x16, 0) - multiply_round_q15(magnitude, tail)


def gelu_to_u8(x16: Int, parameters: Gelu) -> Int:
    """(5.2) clamp(multiply_round_q15(gelu(x), multiplier[c]) + zero_point, 0, 255)."""
    scaled = multiply_round_q15(gelu(x16, parameters.range_shift), int64(parameters.multiplier))
    return np.clip(scaled + parameters.zero_point, 0, 255)
