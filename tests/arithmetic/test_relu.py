"""Integer ReLU against the real one, over every 16-bit input."""

import numpy as np
import pytest

from intbert.arithmetic.relu import relu_to_u8
from tests.arithmetic.strategies import S16

EVERY_S16 = np.arange(S16[0], S16[1] + 1)


@pytest.mark.parametrize("guard_bits", range(1, 8))
def test_error_against_real_relu(guard_bits: int) -> None:
    """Tier 1: within half a unit of max(x, 0), cut at 255."""
    real = np.minimum(np.maximum(EVERY_S16 / 2**guard_bits, 0), 255)
    assert np.abs(relu_to_u8(EVERY_S16, guard_bits) - real).max() <= 0.5


@pytest.mark.parametrize("guard_bits", range(1, 8))
def test_shape_of_the_curve(guard_bits: int) -> None:
    """Tier 2: every u8 value is reached, it never falls, and it is 0 for everything that is not positive."""
    result = relu_to_u8(EVERY_S16, guard_bits)
    assert np.unique(result).tolist() == list(range(256))
    assert (np.diff(result) >= 0).all()
    assert not result[EVERY_S16 <= 0].any()


def test_reaches_the_top_below_saturation() -> None:
    """With the exporter's 6 guard bits 255 lies below 16383, which (2.2) reaches with any multiplier."""
    assert relu_to_u8(np.array([16383]), 6).tolist() == [255]
