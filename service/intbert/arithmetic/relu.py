"""ReLU in the place of the pooler's tanh (docs/arithmetic.md, section 7): DistilBERT's head."""

import numpy as np

from intbert.arithmetic.fixed import Int, shift_round


def relu_to_u8(x16: Int, guard_bits: int) -> Int:
    """(7.4) clamp(shift_round(x, guard_bits), 0, 255) of a 16-bit x; zero is 0, so all 8 bits carry positive values."""
    return np.clip(shift_round(x16, guard_bits), 0, 255)
