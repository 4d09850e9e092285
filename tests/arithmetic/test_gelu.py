"""Integer GELU against the real one, over every 16-bit input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from intbert.arithmetic.bounds import GELU_RANGE_SHIFT_MAX
from intbert.arithmetic.gelu import TAIL_OFFSET_Q15, UNITS_PER_ONE, gelu, gelu_to_u8
from intbert.arithmetic.program import Gelu
from tests.arithmetic.strategies import S16, arrays

EVERY_S16 = np.arange(S16[0], S16[1] + 1)
RANGE_SHIFTS = range(GELU_RANGE_SHIFT_MAX + 1)


def test_constants_show_their_real_values() -> None:
    """The polynomial (0.86090 - 0.23291 a)^4 in Q15."""
    assert round(0.86090 * 2**15) == TAIL_OFFSET_Q15
    assert round(0.23291 * 2**15) == UNITS_PER_ONE


@pytest.mark.parametrize("range_shift", RANGE_SHIFTS)
def test_error_against_real_gelu(range_shift: int) -> None:
    """Tier 1: the largest error over all inputs is at most 0.0041 plus one unit of the scale."""
    scale = 2.0**range_shift / UNITS_PER_ONE
    real = EVERY_S16 * scale * ndtr(EVERY_S16 * scale)
    error = np.abs(gelu(EVERY_S16, range_shift) * scale - real).max()
    assert error <= 0.0041 + scale
    assert range_shift > 2 or error <= 0.005


@pytest.mark.parametrize("range_shift", RANGE_SHIFTS)
def test_range(range_shift: int) -> None:
    """Tier 2: 16 bits for every input, x or 0 far out, 0 at 0, never above max(x, 0)."""
    result = gelu(EVERY_S16, range_shift)
    assert result.min() >= S16[0]
    assert (result <= np.maximum(EVERY_S16, 0)).all()
    assert result[EVERY_S16 == 0].tolist() == [0]
    # The grain of 2^range_shift may leave the clipped tail a root of up to 15, whose fourth power is 0 in Q15
    far = np.abs(EVERY_S16) >= TAIL_OFFSET_Q15 >> range_shift
    np.testing.assert_array_equal(result[far], np.maximum(EVERY_S16, 0)[far])


@given(
    x16=arrays(S16),
    multiplier=arrays((0, 32767)),
    zero_point=st.integers(0, 255),
    range_shift=st.integers(0, GELU_RANGE_SHIFT_MAX),
)
def test_output_is_u8(x16: NDArray[np.int64], multiplier: NDArray[np.int64], zero_point: int, range_shift: int) -> None:
    """Whatever the multiplier, the result is 0..255, and a saturating 16-bit add of the zero point gives the same."""
    parameters = Gelu(range_shift=range_shift, multiplier=multiplier.astype(np.int16), zero_point=zero_point)
    result = gelu_to_u8(x16, parameters)
    assert result.min() >= 0
    assert result.max() <= 255
    scaled = (gelu(x16, range_shift) * multiplier + 2**14) >> 15
    np.testing.assert_array_equal(result, np.clip(np.minimum(scaled + zero_point, S16[1]), 0, 255))


def test_zero_becomes_the_zero_point() -> None:
    """GELU(0) = 0 is exactly representable."""
    parameters = Gelu(range_shift=2, multiplier=np.full(3, 20000, dtype=np.int16), zero_point=17)
    assert gelu_to_u8(np.zeros((1, 3), dtype=np.int64), parameters).tolist() == [[17, 17, 17]]
