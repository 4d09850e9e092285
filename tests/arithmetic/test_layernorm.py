"""Integer LayerNorm against the real one, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic.bounds import CHANNELS_MAX
from intbert.arithmetic.layernorm import layer_norm, standardise, view_s8
from intbert.arithmetic.program import LayerNorm
from tests.arithmetic.strategies import S16, SUM22, arrays

Q29 = 2**29


def norm_of(gamma: NDArray[np.float64], beta: NDArray[np.float64], output_scale: float) -> LayerNorm:
    """Constants as the exporter makes them: the largest shift whose gain fits."""
    unit = gamma * np.sqrt(gamma.size) / output_scale
    shift = min(int(np.floor(np.log2((2**31 - 1) / (8 * np.abs(unit).max())))), 20)
    while np.abs(beta).max() / output_scale * 2**shift + 2**shift > 2**30:
        shift -= 1
    bias = np.round(beta / output_scale * 2**shift) + (1 << (shift - 1))
    return LayerNorm(
        gain=np.round(unit * 2.0 ** (shift + 3)).astype(np.int32),
        bias=bias.astype(np.int32),
        shift=shift,
        view=np.full(gamma.size, 500, dtype=np.int16),
    )


def real_norm(h: NDArray[np.int64], gamma: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = h - h.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True)) * gamma + beta)


@pytest.mark.parametrize("channels", [32, 384, 768, 1024])
@pytest.mark.parametrize("sigma", [2.0**10, 2.0**13, 2.0**15])
@pytest.mark.parametrize("outlier", [0, 60])
def test_residual_is_within_one_step(channels: int, sigma: float, outlier: float) -> None:
    """Tier 1: o16 is within 0.6 steps of the real LayerNorm, and what half a unit of h (the rounded mean) comes to.

    That is one step where sigma is realistic (2^15), with and without a channel of many standard deviations.
    """
    rng = np.random.default_rng(channels)
    h = np.round(rng.standard_normal((50, channels)) * sigma)
    h[:, 3] += outlier * sigma
    h = np.clip(h, *SUM22).astype(np.int64)
    gamma, beta = rng.uniform(0.3, 1.5, channels), rng.standard_normal(channels) * 0.3
    real = real_norm(h, gamma, beta)
    scale = float(np.abs(real).max() / 32000)
    error = np.abs(layer_norm(h, norm_of(gamma, beta, scale)) - real / scale)
    rounded_mean = 0.5 / h.std(axis=1, keepdims=True) * gamma / scale
    assert (error <= 0.6 + rounded_mean).all()
    assert sigma < 2**15 or error.max() <= 1.0


@given(h=arrays(SUM22, st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 17, 64]))))
def test_standardised_rows_are_in_range(h: NDArray[np.int64]) -> None:
    """Tier 2: |z| <= 2^29 for any row, so the gain's product and the bias fit 32 bits."""
    assert np.abs(standardise(h)).max() <= Q29


@given(value=st.integers(*SUM22), channels=st.sampled_from([1, 2, 7, 384, CHANNELS_MAX]))
def test_constant_rows_are_zero(value: int, channels: int) -> None:
    """A row without variance has no direction: all zeros, no division by zero."""
    assert not standardise(np.full((1, channels), value)).any()


@pytest.mark.parametrize("pattern", [[1, -1], [1, 0], [1, 1, 1, -1]])
def test_largest_energies(pattern: list[int]) -> None:
    """Rows at the ends of sum22 over 1024 channels, energies up to 2^52, stay exact to a unit of Q29 per 2^20."""
    row = np.tile(np.array(pattern, dtype=np.int64) * SUM22[1], CHANNELS_MAX // len(pattern))
    centred = row - row.mean()
    real = centred / np.sqrt((centred**2).sum()) * Q29
    assert np.abs(standardise(row[None]) - real).max() <= 2**9
    lonely = np.zeros((1, CHANNELS_MAX), dtype=np.int64)
    lonely[0, 5] = SUM22[0]
    assert np.argmin(standardise(lonely)) == 5


@given(h=arrays((-(2**15), 2**15), (3, 24)), shift=st.integers(0, 5))
def test_scale_does_not_matter(h: NDArray[np.int64], shift: int) -> None:
    """Multiplying a row by a power of two moves z only by what the rounded mean costs: relatively below 1/sigma."""
    deviation = np.abs(h - h.mean(axis=1, keepdims=True)).max(axis=1)
    kept = deviation > 2**10
    difference = np.abs(standardise(h << shift) - standardise(h)).max(axis=1)
    assert (difference[kept] <= 2 * Q29 / deviation[kept]).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_residual_saturates_at_16_bits(sign: int) -> None:
    """A gain beyond the output's scale stops at -32768 and 32767, and the view at -127 and 127."""
    h = np.zeros((1, 64), dtype=np.int64)
    h[0, 0] = sign * 10000
    norm = LayerNorm(
        gain=np.full(64, 2**31 - 1, dtype=np.int32),
        bias=np.full(64, 1, dtype=np.int32),
        shift=1,
        view=np.full(64, 32767, dtype=np.int16),
    )
    residual = layer_norm(h, norm)
    assert residual[0, 0] == (S16[1] if sign > 0 else S16[0])
    assert view_s8(residual, norm)[0, 0] == 127 * sign


@given(o16=arrays(S16, (2, 8)), view=st.integers(0, 32767))
def test_view_is_a_rounded_product(o16: NDArray[np.int64], view: int) -> None:
    """The 8-bit view is the real product rounded half up and clamped to +-127."""
    norm = LayerNorm(
        gain=np.zeros(8, dtype=np.int32),
        bias=np.zeros(8, dtype=np.int32),
        shift=1,
        view=np.full(8, view, dtype=np.int16),
    )
    expected = np.clip(np.floor(o16 * view / 2.0**15 + 0.5), -127, 127)
    np.testing.assert_array_equal(view_s8(o16, norm), expected)
