"""Integer tanh of the pooler (docs/arithmetic.md, section 7): tanh|x| = (1 - e^-2|x|) / (1 + e^-2|x|)."""

import numpy as np

from intbert.arithmetic.fixed import S16_MAX, Int, saturate8, shift_round
from intbert.arithmetic.softmax import exp2_negative_q15

INPUT_FRACTION_BITS = 11
TWO_LOG2_E_Q13 = 23637  # 2 * log2(e) = 2.88539 in Q13


def tanh_to_s8(x16: Int) -> Int:
    """(7.1)-(7.3) tanh of a 16-bit x with scale 2^-11; the result is s8 with scale 2^-7, so 1 becomes 127/128."""
    # Q11 * Q13 = Q24, down to Q11; 2^15 / 2^11 = 16 halvings are zero in Q15, so the clamp changes nothing
    t = np.minimum((np.abs(x16) * TWO_LOG2_E_Q13) >> 13, S16_MAX)
    e = exp2_negative_q15(t, INPUT_FRACTION_BITS)
    numerator, denominator = 32768 - e, 32768 + e
    y = (numerator * S16_MAX + (denominator >> 1)) // denominator
    return saturate8(shift_round(np.where(x16 < 0, -y, y), 8))
