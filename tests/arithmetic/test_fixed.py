"""Fixed-point primitives: exact definitions, limits, and no overflow of int64."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic.fixed import (
    bit_length,
    int64,
    integer_sqrt,
    multiply_high32,
    multiply_round_q15,
    saturate8,
    saturate16,
    saturate22,
    shift_round,
)
from tests.arithmetic.strategies import S16, S32, arrays, integers

ROOT_LIMITS = (1, 2**62 - 1)


@given(x=arrays(S32))
def test_saturation_limits(x: NDArray[np.int64]) -> None:
    """Each saturation keeps what is inside its range and stops at its ends; -128 is outside the 8-bit range."""
    for function, low, high in (
        (saturate8, -127, 127),
        (saturate16, -32768, 32767),
        (saturate22, -(2**21) + 1, 2**21 - 1),
    ):
        assert function(x).tolist() == [min(max(value, low), high) for value in x.tolist()]


@given(x=integers(S32), shift=st.integers(0, 31))
def test_shift_round_is_half_up(x: int, shift: int) -> None:
    """shift_round(x, s) is floor(x / 2^s + 1/2), in exact rational arithmetic."""
    assert int(shift_round(np.int64(x), shift)) == (2 * x + (1 << shift)) // (2 << shift)


@given(a=arrays(S16), b=arrays(S16))
def test_q15_product_fits_16_bits(a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """The rounded Q15 product is floor(ab / 2^15 + 1/2), and 16-bit for all 16-bit operands but -32768 twice."""
    product = multiply_round_q15(a, b)
    assert product.tolist() == [(2 * x * y + 2**15) // 2**16 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    allowed = (a != S16[0]) | (b != S16[0])
    assert saturate16(product)[allowed].tolist() == product[allowed].tolist()


@given(a=arrays(S32), b=arrays(S32))
def test_high_product(a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """multiply_high32 is the floor of the exact 64-bit product over 2^32, for all 32-bit operands."""
    expected = [(x * y) // 2**32 for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert multiply_high32(a, b).tolist() == expected


@given(x=arrays(ROOT_LIMITS))
def test_root_is_exact(x: NDArray[np.int64]) -> None:
    """integer_sqrt equals math.isqrt on values of up to 62 bits."""
    assert integer_sqrt(x).tolist() == [math.isqrt(value) for value in x.tolist()]


def test_root_around_squares() -> None:
    """At r^2 - 1, r^2 and r^2 + 1 the root changes exactly where it should, for roots of all sizes."""
    rng = np.random.default_rng(1)
    roots = np.unique(np.concatenate([2 ** np.arange(1, 31), rng.integers(2, 2**31, 20000), [2**31 - 1]]))
    np.testing.assert_array_equal(integer_sqrt(roots**2 - 1), roots - 1)
    np.testing.assert_array_equal(integer_sqrt(roots**2), roots)
    np.testing.assert_array_equal(integer_sqrt(roots**2 + 1), roots)


@given(x=arrays((0, 2**63 - 1)))
def test_bit_length(x: NDArray[np.int64]) -> None:
    """bit_length equals int.bit_length, also where a float logarithm would round up (2^53 - 1, 2^62 - 1)."""
    assert bit_length(x).tolist() == [value.bit_length() for value in x.tolist()]


def test_bit_length_at_powers_of_two() -> None:
    """Every power of two, and the number below it."""
    powers = np.int64(1) << np.arange(63)
    np.testing.assert_array_equal(bit_length(powers), np.arange(1, 64))
    np.testing.assert_array_equal(bit_length(powers - 1), np.arange(63))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32])
def test_widening_accepts_integers_only(dtype: type[np.integer]) -> None:
    """Storage types become int64; floats and booleans are refused by name."""
    assert int64(np.array([1, 2], dtype=dtype)).dtype == np.int64
    for values in (np.array([1.0]), np.array([True])):
        with pytest.raises(TypeError, match=f"integer array expected, got {values.dtype}"):
            int64(values)
