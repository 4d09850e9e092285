"""Integer tanh against the real one, over every 16-bit input."""

import numpy as np

from intbert.arithmetic.tanh import INPUT_FRACTION_BITS, TWO_LOG2_E_Q13, tanh_to_s8
from tests.arithmetic.strategies import S16

EVERY_S16 = np.arange(S16[0], S16[1] + 1)


def test_constant_shows_its_real_value() -> None:
    """2 log2(e) in Q13."""
    assert round(2 * np.log2(np.e) * 2**13) == TWO_LOG2_E_Q13


def test_error_against_real_tanh() -> None:
    """Tier 1: within 0.002 and half a step of 2^-7 of tanh, cut at the largest representable 127/128."""
    real = np.clip(np.tanh(EVERY_S16 / 2.0**INPUT_FRACTION_BITS), -127 / 128, 127 / 128)
    assert np.abs(tanh_to_s8(EVERY_S16) / 128 - real).max() <= 0.002 + 0.5 / 128


def test_shape_of_the_curve() -> None:
    """Tier 2: s8 over the whole range, never falling, 0 at 0, odd but for the half-up rounding."""
    result = tanh_to_s8(EVERY_S16)
    assert result.min() == -127
    assert result.max() == 127
    assert (np.diff(result) >= 0).all()
    assert result[EVERY_S16 == 0].tolist() == [0]
    assert np.abs(result[1:] + result[1:][::-1]).max() <= 1
