"""Attention of one head against float softmax, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic.bounds import CONTEXT_MULTIPLIER_MAX, TOKENS_MAX
from intbert.arithmetic.program import Attention
from intbert.arithmetic.softmax import (
    EXP2_LINEAR_Q15,
    EXP2_QUADRATIC_Q15,
    attend,
    exact_product,
    exp2_negative_q15,
    normalise_context,
    softmax_numerators,
)
from tests.arithmetic.strategies import S8, arrays

ONE_CONTEXT = 2**20  # the context keeps V's scale


def attention_of(
    score_shift: int, score_multiplier: int, context_multiplier: int, fraction_bits: int = 10
) -> Attention:
    """Constants of a single head."""
    return Attention(
        qkv_guard_bits=7,
        score_shift=np.array([score_shift], dtype=np.int32),
        score_multiplier=np.array([score_multiplier], dtype=np.int16),
        exp_fraction_bits=fraction_bits,
        context_multiplier=np.array([context_multiplier], dtype=np.int32),
    )


def real_attention(
    query: NDArray[np.int64], key: NDArray[np.int64], value: NDArray[np.int64], attention: Attention
) -> NDArray[np.float64]:
    """Float softmax with the same real scales."""
    log2_unit = float(attention.score_multiplier[0]) / 2.0 ** (
        15 + int(attention.score_shift[0]) + attention.exp_fraction_bits
    )
    scores = (query @ key.T) * log2_unit
    weights = np.exp2(scores - scores.max(axis=1, keepdims=True))
    context = weights / weights.sum(axis=1, keepdims=True) @ value
    return np.asarray(context * float(attention.context_multiplier[0]) / ONE_CONTEXT)


def test_constants_show_their_real_values() -> None:
    """The coefficients of 2^-f in Q15; 1 - linear + quadratic is 1/2, so the function continues where f wraps."""
    assert round(0.67212 * 2**15) == EXP2_LINEAR_Q15
    assert round(0.17212 * 2**15) == EXP2_QUADRATIC_Q15
    assert 2**15 - EXP2_LINEAR_Q15 + EXP2_QUADRATIC_Q15 == 2**14


@pytest.mark.parametrize("fraction_bits", [8, 9, 10, 11])
def test_exponential_error(fraction_bits: int) -> None:
    """Tier 1: within 0.002 of 2^-t for every 16-bit t."""
    t = np.arange(2**15)
    assert np.abs(exp2_negative_q15(t, fraction_bits) / 2**15 - np.exp2(-t / 2.0**fraction_bits)).max() <= 0.002


@pytest.mark.parametrize("fraction_bits", [8, 9, 10, 11])
def test_exponential_falls(fraction_bits: int) -> None:
    """Tier 2: 32767 at 0, then never rising, never negative."""
    values = exp2_negative_q15(np.arange(2**15), fraction_bits)
    assert values[0] == 32767
    assert (np.diff(values) <= 0).all()
    assert values.min() >= 0


@pytest.mark.parametrize("tokens", [1, 2, 30, 128, 512])
@pytest.mark.parametrize("score_multiplier", [0, 300, 3000, 20000])
def test_context_against_float_softmax(tokens: int, score_multiplier: int) -> None:
    """Tier 1: the 8-bit context is within one step of float softmax, from flat heads to nearly one-hot ones."""
    rng = np.random.default_rng(tokens)
    query, key, value = rng.integers(-127, 128, (3, tokens, 32))
    attention = attention_of(6, score_multiplier, ONE_CONTEXT)
    error = np.abs(attend(query, key, value, 0, attention) - real_attention(query, key, value, attention))
    assert error.max() <= 1.0


@pytest.mark.parametrize("context_multiplier", [ONE_CONTEXT, CONTEXT_MULTIPLIER_MAX])
def test_flat_heads_lose_nothing(context_multiplier: int) -> None:
    """512 equal scores: 255 each, and the mean of V keeps its bits (8-bit probabilities would all be 0)."""
    rng = np.random.default_rng(4)
    value = rng.integers(-60, 128, (512, 16))
    attention = attention_of(2, 20000, context_multiplier)
    zeros = np.zeros((512, 16), dtype=np.int64)
    expected = np.clip(value.mean(axis=0) * context_multiplier / ONE_CONTEXT, -127, 127)
    context = attend(zeros, zeros, value, 0, attention)
    assert np.abs(context - expected).max() <= 1.0
    assert np.abs(expected).min() > 10, "the test needs a mean that a lossy quotient would destroy"


@given(value=arrays(S8, (1, 8)), query=arrays(S8, (1, 8)), key=arrays(S8, (1, 8)))
def test_single_token_attends_to_itself(
    value: NDArray[np.int64], query: NDArray[np.int64], key: NDArray[np.int64]
) -> None:
    """One token: its probability is one whatever the score, so the context is its V within a step."""
    context = attend(query, key, value, 0, attention_of(2, 20000, ONE_CONTEXT))
    assert np.abs(context - value).max() <= 1


@given(
    scores=arrays((-(2**24), 2**24), (3, 9)),
    shift=st.integers(0, 30),
    multiplier=st.integers(0, 32767),
    fraction_bits=st.integers(8, 10),
)
def test_numerators(scores: NDArray[np.int64], shift: int, multiplier: int, fraction_bits: int) -> None:
    """Tier 2: 0..255, 255 at a row's maximum, a higher score is never lower; an offset changes nothing."""
    numerators = softmax_numerators(scores, shift, multiplier, fraction_bits)
    assert numerators.min() >= 0
    assert numerators.max() <= 255
    assert (np.take_along_axis(numerators, scores.argmax(axis=1)[:, None], axis=1) == 255).all()
    assert (np.diff(np.take_along_axis(numerators, scores.argsort(axis=1), axis=1)) >= 0).all()
    np.testing.assert_array_equal(softmax_numerators(scores + 12345, shift, multiplier, fraction_bits), numerators)


@given(
    numerators=arrays((0, 255), (2, 40)),
    value=arrays(S8, (40, 3)),
    copies=st.sampled_from([1, 8, TOKENS_MAX // 40]),
    multiplier=st.integers(0, CONTEXT_MULTIPLIER_MAX),
)
def test_normalisation_fits_its_lanes(
    numerators: NDArray[np.int64], value: NDArray[np.int64], copies: int, multiplier: int
) -> None:
    """(9.6): shifted sums and row multipliers fit 16 bits and the dividend 32 unsigned bits, up to 1024 tokens."""
    numerators, value = np.tile(numerators, copies), np.tile(value, (copies, 1))
    numerators[:, 0] = 255
    denominator = numerators.sum(axis=1, keepdims=True)
    shift = np.array([[int(total).bit_length() - 8] for total in denominator[:, 0]])
    sums = exact_product(numerators, value)
    assert np.abs(sums >> shift).max() <= 32512
    assert ((multiplier << shift) // denominator).max() <= 32767
    assert (multiplier << shift).max() < 2**32
    context = normalise_context(sums, denominator, multiplier)
    assert np.abs(context).max() <= 127


def test_products_through_float_are_exact() -> None:
    """Scores and sums over 512 tokens equal their int64 products, at the largest magnitudes too."""
    rng = np.random.default_rng(5)
    a, b = rng.integers(-127, 128, (512, 64)), rng.integers(-127, 128, (64, 512))
    a[0], b[:, 0] = 127, -127
    np.testing.assert_array_equal(exact_product(a, b), a @ b)
    numerators = np.full((4, 512), 255)
    np.testing.assert_array_equal(exact_product(numerators, b.T), numerators @ b.T)
