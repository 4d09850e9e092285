"""Linear layers: exact products, and three ways out of the accumulator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic.bounds import accumulator_bound
from intbert.arithmetic.linear import accumulate, add_residual, narrow, narrow_to_s8
from intbert.arithmetic.program import Linear, NarrowLinear, ResidualLinear
from tests.arithmetic.strategies import S16, S32, arrays, integers


def linear_of(weight: NDArray[np.int64]) -> Linear:
    return Linear(weight=weight.astype(np.int8), bias=np.zeros(len(weight), dtype=np.int32))


def narrow_of(shift: int, multiplier: int, outputs: int = 16) -> NarrowLinear:
    """Only what `narrow` reads matters."""
    return NarrowLinear(
        weight=np.zeros((outputs, 1), dtype=np.int8),
        bias=np.zeros(outputs, dtype=np.int32),
        shift=np.full(outputs, shift, dtype=np.int32),
        multiplier=np.full(outputs, multiplier, dtype=np.int16),
    )


def residual_of(multiplier: int, accumulator_shift: int, residual_shift: int, outputs: int = 16) -> ResidualLinear:
    """Only what `add_residual` reads matters."""
    return ResidualLinear(
        weight=np.zeros((outputs, 1), dtype=np.int8),
        bias=np.zeros(outputs, dtype=np.int32),
        multiplier=np.full(outputs, multiplier, dtype=np.int32),
        accumulator_shift=accumulator_shift,
        residual_shift=residual_shift,
    )


@pytest.mark.parametrize("inputs", [1, 384, 3072, 4096])
def test_float_product_is_exact(inputs: int) -> None:
    """The product through float64 BLAS equals the int64 product, also where every term has its largest magnitude."""
    rng = np.random.default_rng(inputs)
    weight = rng.integers(-127, 128, (32, inputs))
    x = rng.integers(0, 256, (20, inputs))
    weight[0], weight[1], x[0] = 127, -127, 255
    bias = rng.integers(-(2**31), 2**31, 32).astype(np.int32)
    result = accumulate(x, Linear(weight=weight.astype(np.int8), bias=bias))
    np.testing.assert_array_equal(result, x @ weight.T + bias)


def test_products_too_long_to_be_exact_are_refused() -> None:
    """A row length whose sums could pass 2^53 is an error, not a rounded result."""
    endless = np.broadcast_to(np.int8(1), (1, 2**39))
    with pytest.raises(ValueError, match="549755813888 inputs exceed what float64 accumulates exactly"):
        accumulate(np.zeros((1, 1), dtype=np.int64), Linear(weight=endless, bias=np.zeros(1, dtype=np.int32)))


@given(weight=arrays((-127, 127), (4, 9)), x=arrays((0, 255), (5, 9)), bias=arrays((-(2**20), 2**20), 4))
def test_accumulator_bound_holds(weight: NDArray[np.int64], x: NDArray[np.int64], bias: NDArray[np.int64]) -> None:
    """No input, and no partial sum in any order, exceeds the bound of (9.1)."""
    linear = Linear(weight=weight.astype(np.int8), bias=bias.astype(np.int32))
    bound = accumulator_bound(linear)
    terms = x[:, None, :] * weight
    for order in (slice(None), slice(None, None, -1)):
        partial = np.abs(bias[None, :, None] + np.cumsum(terms[..., order], axis=-1))
        assert (partial <= bound[None, :, None]).all()
    assert (np.abs(accumulate(x, linear)) <= bound).all()


@given(
    acc=arrays((-(2**31) + 2**30, 2**31 - 1 - 2**30)), shift=st.integers(0, 31), multiplier=st.integers(2**14, 32767)
)
def test_narrow_is_within_one_unit(acc: NDArray[np.int64], shift: int, multiplier: int) -> None:
    """Tier 1: two roundings cost at most one 16-bit unit against the real product, where nothing saturates."""
    rounded = acc + ((1 << shift) >> 1)
    result = narrow(rounded, narrow_of(shift, multiplier))
    inside = (rounded >> shift >= S16[0]) & (rounded >> shift <= S16[1])
    real = acc.astype(np.float64) * multiplier / 2.0 ** (shift + 15)
    assert (np.abs(result - real)[inside] <= 1).all()


@given(acc=arrays(S32), shift=st.integers(0, 31), multiplier=st.integers(0, 32767))
def test_narrow_stays_in_16_bits(acc: NDArray[np.int64], shift: int, multiplier: int) -> None:
    """Tier 2: any accumulator gives a 16-bit value with the accumulator's sign or zero."""
    result = narrow(acc, narrow_of(shift, multiplier))
    assert result.min() >= S16[0]
    assert result.max() <= S16[1]
    assert (result * np.sign(acc) >= 0).all()


@given(x16=arrays(S16), guard_bits=st.integers(1, 7))
def test_narrow_to_s8_equals_saturating_16_bit_lanes(x16: NDArray[np.int64], guard_bits: int) -> None:
    """(2.3) needs 17 bits only where it saturates: a saturating 16-bit add of the rounding constant gives the same."""
    saturating_add = np.minimum(x16 + (1 << (guard_bits - 1)), S16[1])
    expected = np.clip(saturating_add >> guard_bits, -127, 127)
    np.testing.assert_array_equal(narrow_to_s8(x16, guard_bits), expected)


@given(
    bound_bits=st.integers(0, 30),
    acc=arrays((-(2**31) + 1, 2**31 - 1)),
    residual=arrays(S16),
    multiplier=integers((0, 2**31 - 1)),
    residual_shift=st.integers(0, 6),
)
def test_residual_sum(
    bound_bits: int, acc: NDArray[np.int64], residual: NDArray[np.int64], multiplier: int, residual_shift: int
) -> None:
    """(2.4) in exact integers; under bound (9.2) its operands and the sum before saturation fit 32 bits."""
    acc = acc >> bound_bits
    linear = residual_of(multiplier, bound_bits, residual_shift)
    exact = [
        (r << residual_shift) + (((a << bound_bits) * multiplier) >> 32)
        for a, r in zip(acc.tolist(), residual.tolist(), strict=True)
    ]
    assert max(map(abs, exact)) < 2**31
    assert add_residual(acc, residual, linear).tolist() == [min(max(h, -(2**21) + 1), 2**21 - 1) for h in exact]


@given(acc=arrays((-(2**24), 2**24)), multiplier=integers((2**20, 2**31 - 1)))
def test_residual_sum_is_within_one_unit(acc: NDArray[np.int64], multiplier: int) -> None:
    """Tier 1: the scaled accumulator is at most one unit of the sum below its real value."""
    result = add_residual(acc, np.zeros(16, dtype=np.int64), residual_of(multiplier, 6, 4))
    real = np.clip(acc.astype(np.float64) * 64 * multiplier / 2.0**32, -(2**21) + 1, 2**21 - 1)
    assert (real - result >= -1e-6).all()
    assert (real - result <= 1).all()
