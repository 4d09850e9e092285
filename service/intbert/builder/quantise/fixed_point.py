"""Real multipliers to shifts and integers, single operations to their integer constants. Real numbers are float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.bounds import NORM_SHIFT_MAX, accumulator_bound
from intbert.arithmetic.linear import UNSIGNED_OFFSET
from intbert.arithmetic.program import LayerNorm, Linear, NarrowLinear, ResidualLinear
from intbert.builder.quantise.real import Matrix, RealLinear, RealNorm, Vector

INT32_MAX = 2**31 - 1
WEIGHT_MAX = 127
NORM_BIAS_BITS = 30
ACCUMULATOR_SHIFT_MAX = 16
MULTIPLIER32_MIN_BITS = 12
NARROW_SHIFT_MAX = 20
BIAS_BITS = 29


@dataclass(frozen=True, kw_only=True)
class Input:
    """How a linear layer reads its input: real = (u8 - offset) * scale[k]."""

    scale: Vector  # (inputs,)
    offset: int = UNSIGNED_OFFSET

    def fold(self, weight: Matrix) -> Matrix:
        """Weights (outputs, inputs) with the input's scale folded in."""
        return weight * self.scale


def mantissa_q15(ratio: Vector) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(multiplier, shift) with ratio = multiplier * 2^-(15 + shift) to 2^-15, multiplier in [2^14, 2^15)."""
    mantissa, exponent = np.frexp(ratio)
    multiplier = np.rint(mantissa * 2**15).astype(np.int64)
    carried = multiplier == 2**15
    return np.where(carried, 2**14, multiplier), -(exponent.astype(np.int64) + carried)


def weight_scale(linear: RealLinear, source: Input, floor: float | Vector) -> Vector:
    """Per output channel: the largest folded weight at 127, the bias within 2^29, never below `floor`."""
    largest = np.abs(source.fold(linear.weight)).max(axis=1) / WEIGHT_MAX
    scale: Vector = np.maximum(np.maximum(largest, np.abs(linear.bias) / 2**BIAS_BITS), floor)
    return scale


def integer_weight(linear: RealLinear, source: Input, scale: Vector) -> NDArray[np.int8]:
    """Folded weights at `scale`, rounded and clamped to s8."""
    folded = source.fold(linear.weight) / scale[:, None]
    return np.clip(np.rint(folded), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)


def integer_bias(
    linear: RealLinear, weight_s8: NDArray[np.int8], source: Input, scale: Vector, rounding: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Bias at `scale`, less the input offset's share, plus the next shift's rounding constant."""
    bias = np.rint(linear.bias / scale).astype(np.int64)
    return _int32(bias - source.offset * weight_s8.sum(axis=1, dtype=np.int64) + rounding, "bias")


def narrow_linear(
    linear: RealLinear, source: Input, scale: Vector, output_scale: Vector | float
) -> tuple[NarrowLinear, Vector]:
    """A layer that ends in 16 bits at `output_scale`, and the weight scales that its integers realise."""
    multiplier, shift = mantissa_q15(scale / output_scale)
    if shift.min() < 0:
        raise ValueError(f"accumulator coarser than its 16-bit output by 2^{-shift.min()}; widen the output's scale")
    realised: Vector = output_scale * np.ldexp(multiplier.astype(np.float64), -(15 + shift))
    weight = integer_weight(linear, source, realised)
    program = NarrowLinear(
        weight=weight,
        bias=integer_bias(linear, weight, source, realised, (1 << shift) >> 1),
        shift=shift.astype(np.int32),
        multiplier=multiplier.astype(np.int16),
    )
    return program, realised


def residual_linear(
    linear: RealLinear, source: Input, scale: Vector, sum_scale: float, residual_shift: int
) -> tuple[ResidualLinear, Vector]:
    """A layer whose output joins the residual sum at `sum_scale`, and the weight scales that its integers realise.

    Realising a scale moves it by at most 2^-12, and with it weights and bias, hence the bound is taken with slack.
    """
    none = np.zeros(len(scale), dtype=np.int64)
    weight = integer_weight(linear, source, scale)
    bias = integer_bias(linear, weight, source, scale, none)
    bound = int(accumulator_bound(Linear(weight=weight, bias=bias)).max() * 1.01) + 1
    shift = min(31 - bound.bit_length(), ACCUMULATOR_SHIFT_MAX)
    if shift < 0:
        raise ValueError(f"accumulators up to {bound} exceed 32 bits; raise the weight scales' floor")
    multiplier = np.rint(np.ldexp(scale / sum_scale, 32 - shift)).astype(np.int64)
    if multiplier.min() < 2**MULTIPLIER32_MIN_BITS:
        raise ValueError("an output weight's scale is too fine for the residual sum; raise its floor")
    realised = sum_scale * np.ldexp(multiplier.astype(np.float64), shift - 32)
    weight = integer_weight(linear, source, realised)
    program = ResidualLinear(
        weight=weight,
        bias=integer_bias(linear, weight, source, realised, none),
        multiplier=_int32(multiplier, "residual multiplier"),
        accumulator_shift=shift,
        residual_shift=residual_shift,
    )
    return program, realised


def layer_norm(norm: RealNorm, residual_scale: float, view_scale: Vector) -> LayerNorm:
    """Constants of (3.5) and (3.6) with the largest shift that keeps gain within 31 and bias within 30 bits."""
    gain = norm.gamma * np.sqrt(len(norm.gamma)) / residual_scale * 8
    bias = norm.beta / residual_scale
    bias_limit = (2.0**NORM_BIAS_BITS - 1) / (np.abs(bias).max() + 1)
    largest = min(INT32_MAX / max(float(np.abs(gain).max()), 2.0**-30), bias_limit)
    shift = min(int(np.floor(np.log2(largest))), NORM_SHIFT_MAX)
    if shift < 1:
        raise ValueError("a LayerNorm's gain or bias is too large for its residual scale; widen the residual's scale")
    return LayerNorm(
        gain=_int32(np.rint(np.ldexp(gain, shift)).astype(np.int64), "gain"),
        bias=_int32(np.rint(np.ldexp(bias, shift)).astype(np.int64) + (1 << (shift - 1)), "norm bias"),
        shift=shift,
        view=view_multiplier(residual_scale, view_scale),
    )


def view_multiplier(finer_scale: float, coarser_scale: Vector) -> NDArray[np.int16]:
    """m = finer * 2^15 / coarser in 1..32767, used by 8-bit views and GELU outputs."""
    return np.clip(np.rint(finer_scale * 2**15 / coarser_scale), 1, 2**15 - 1).astype(np.int16)


def realised_view(finer_scale: float, coarser_scale: Vector) -> Vector:
    """The scale that `view_multiplier` gives."""
    return finer_scale * 2**15 / view_multiplier(finer_scale, coarser_scale).astype(np.float64)


def _int32(values: NDArray[np.int64], name: str) -> NDArray[np.int32]:
    if np.abs(values).max(initial=0) > INT32_MAX:
        raise ValueError(f"{name} of {np.abs(values).max()} does not fit 32 bits; widen the scales around it")
    return values.astype(np.int32)
