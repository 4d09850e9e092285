"""Real parameters and real scales to the integer program, and back.

Order of realisation: activation scales become those that integer multipliers express, weights are folded with them, and
weight scales become those that the requantisation's integers express. So the only approximations left are the
rounding of weights, biases and activations themselves; exporting a program's dequantised parameters gives it again.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.bounds import CONTEXT_MULTIPLIER_MAX, GELU_RANGE_SHIFT_MAX, check_bounds
from intbert.arithmetic.fixed import SUM22_MAX
from intbert.arithmetic.program import Attention, Embedding, Gelu, Head, Layer, Linear, NarrowLinear, Program
from intbert.builder.quantise import fixed_point as fp
from intbert.builder.quantise.fixed_point import Input
from intbert.builder.quantise.real import Matrix, RealLayer, RealLinear, RealModel, Vector
from intbert.model.scales import (
    CONTEXT_BITS,
    POOLER_SCALE,
    LayerScales,
    NormScales,
    Scales,
    gelu_input_scale,
    pooler_scale,
)

GUARD_BITS_MAX = 7
RELU_GUARD_BITS = 6  # so that 255 lies below 16383, which (2.2) reaches with any multiplier
FRACTION_BITS = (10, 9, 8)
CONTEXT_RATIO_MAX = CONTEXT_MULTIPLIER_MAX / 2**20
RESIDUAL_SHIFT_MAX = 6
FINER = 1 - 2.0**-14  # an accumulator must be finer than its 16-bit output
LOG2_E = float(np.log2(np.e))


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What a package needs: the integers, the real scales behind them, the real value of one unit of a logit."""

    program: Program
    scales: Scales
    logit_scale: float


def embedding_sum_scale(model: RealModel) -> float:
    """The finest scale at which no embedding sum of any token, position and type can exceed 22 bits."""
    largest = sum(float(np.abs(table).max()) for table in (model.word, model.position, model.token_type))
    return largest * 1.001 / (SUM22_MAX - 2**12)


def sum_scale(residual_scale: float, largest_sum: float) -> float:
    """The finest residual_scale / 2^k at which 1.5 times the calibrated largest sum fits 22 bits."""
    shift = int(np.floor(np.log2(residual_scale * SUM22_MAX / (1.5 * largest_sum))))
    return residual_scale / 2.0 ** min(max(shift, 0), RESIDUAL_SHIFT_MAX)


def realise(model: RealModel, wished: Scales) -> Scales:
    """Scales of `wished` moved to what integers express; weight scales anew from the folded weights' maxima."""
    embedding_norm = _realise_norm(wished.embedding_norm)
    layers: list[LayerScales] = []
    before = embedding_norm
    for layer, scales in zip(model.layers, wished.layers, strict=True):
        layers.append(_realise_layer(layer, scales, before))
        before = layers[-1].ffn_norm
    realised = replace(wished, embedding_norm=embedding_norm, layers=tuple(layers))
    if model.pooler is not None:
        realised = _realise_pooler(model.pooler, realised, before)
    source = Input(scale=before.view) if model.pooler is None else _pooled(model, realised)
    return replace(realised, logit=float(fp.weight_scale(model.output, source, 2.0**-60).max()))


def export(model: RealModel, scales: Scales, word_multiplier: NDArray[np.int16] | None = None) -> Exported:
    """The integer program of `model` at realised `scales`; its bounds are proved before it is returned.

    word_multiplier: (vocabulary,) keeps the word table's row scales of an earlier export. Raises ValueError naming what
    does not fit.
    """
    layers: list[Layer] = []
    kept: list[LayerScales] = []
    before = scales.embedding_norm
    for index, (layer, layer_scales) in enumerate(zip(model.layers, scales.layers, strict=True)):
        try:
            program_layer, realised = _layer(layer, layer_scales, before, model.heads)
        except ValueError as error:
            raise ValueError(f"layer {index}: {error}") from error
        layers.append(program_layer)
        kept.append(realised)
        before = layer_scales.ffn_norm
    head, pooler_weight = _head(model, scales, before)
    program = Program(
        heads=model.heads,
        position_offset=model.position_offset,
        embedding=_embedding(model, scales.embedding_sum, word_multiplier),
        embedding_norm=fp.layer_norm(model.embedding_norm, scales.embedding_norm.residual, scales.embedding_norm.view),
        layers=tuple(layers),
        head=head,
    )
    check_bounds(program)
    kept_scales = replace(scales, layers=tuple(kept), pooler_weight=pooler_weight)
    return Exported(program=program, scales=kept_scales, logit_scale=scales.logit)


def _floor(output_scale: float) -> float:
    """Weight scales of dead channels: not so fine that shifts or multipliers leave their ranges."""
    return output_scale * 2.0**-fp.NARROW_SHIFT_MAX


def _realise_norm(norm: NormScales) -> NormScales:
    return replace(norm, view=fp.realised_view(norm.residual, norm.view))


def _realise_layer(layer: RealLayer, wished: LayerScales, before: NormScales) -> LayerScales:
    heads = len(wished.context)
    query, key = _fine_enough(wished.query, wished.key, len(layer.attention_norm.gamma) // heads)
    context = np.maximum(wished.context, wished.value / CONTEXT_RATIO_MAX)
    context = wished.value * 2**CONTEXT_BITS / np.rint(wished.value * 2**CONTEXT_BITS / context)
    attention_norm, ffn_norm = _realise_norm(wished.attention_norm), _realise_norm(wished.ffn_norm)
    attention_sum = _power_of_two_below(before.residual, wished.attention_sum)
    ffn_sum = _power_of_two_below(attention_norm.residual, wished.ffn_sum)
    ffn_input_weight = fp.weight_scale(
        layer.ffn_input, Input(scale=attention_norm.view), _floor(gelu_input_scale(wished.gelu_range_shift))
    )
    range_shift = _gelu_range_shift(wished.gelu_range_shift, ffn_input_weight)
    gelu_output = fp.realised_view(gelu_input_scale(range_shift), wished.gelu_output)
    channels = len(layer.attention_norm.gamma)
    qkv_floor = _floor(float(min(query.min(), key.min(), wished.value.min())))
    return replace(
        wished,
        query=query,
        key=key,
        context=context,
        attention_sum=attention_sum,
        ffn_sum=ffn_sum,
        attention_norm=attention_norm,
        ffn_norm=ffn_norm,
        gelu_range_shift=range_shift,
        gelu_output=gelu_output,
        qkv_weight=fp.weight_scale(layer.qkv, Input(scale=before.view), qkv_floor),
        attention_output_weight=fp.weight_scale(
            layer.attention_output, Input(scale=np.repeat(context, channels // heads)), attention_sum * 2.0**-4
        ),
        ffn_input_weight=ffn_input_weight,
        ffn_output_weight=fp.weight_scale(
            layer.ffn_output, Input(scale=gelu_output, offset=wished.gelu_zero_point), ffn_sum * 2.0**-4
        ),
    )


def _realise_pooler(pooler: RealLinear, wished: Scales, before: NormScales) -> Scales:
    """Its weights' scales, and a ReLU output at least two units of every accumulator coarse."""
    source = Input(scale=before.view)
    if wished.relu is None:
        exact = fp.weight_scale(pooler, source, _floor(POOLER_SCALE))
        # Clips rows whose weights are larger than any trained pooler's
        return replace(wished, pooler_weight=np.minimum(exact, POOLER_SCALE * FINER))
    exact = fp.weight_scale(pooler, source, _floor(wished.relu / 2**RELU_GUARD_BITS))
    return replace(wished, pooler_weight=exact, relu=max(wished.relu, float(exact.max()) * 2 / FINER))


def _pooled(model: RealModel, scales: Scales) -> Input:
    """How the output layer reads the pooler: tanh around 128, ReLU from 0."""
    scale = np.full(model.channels, scales.pooled)
    return Input(scale=scale) if scales.relu is None else Input(scale=scale, offset=0)


def _gelu_range_shift(wished: int, weight_scale: Vector) -> int:
    """The GELU input's range, widened until every accumulator is finer than it."""
    shifts = range(wished, GELU_RANGE_SHIFT_MAX)
    fine = (shift for shift in shifts if weight_scale.max() <= gelu_input_scale(shift) * FINER)
    return next(fine, GELU_RANGE_SHIFT_MAX)


def _fine_enough(query: Vector, key: Vector, head_dim: int) -> tuple[Vector, Vector]:
    """Scales of Q and K at which one unit of a score fits the coarsest fixed point; sharper heads are clipped."""
    excess = query * key / np.sqrt(head_dim) * LOG2_E * 2 ** min(FRACTION_BITS) * 1.001
    clip = np.sqrt(np.maximum(excess, 1))
    return query / clip, key / clip


def _power_of_two_below(residual: float, wished_sum: float) -> float:
    """residual / 2^k, the nearest k in 0..6 that is not finer than wished (to a thousandth)."""
    shift = int(np.floor(np.log2(residual / wished_sum * 1.001)))
    return float(residual / 2.0 ** min(max(shift, 0), RESIDUAL_SHIFT_MAX))


def _layer(layer: RealLayer, scales: LayerScales, before: NormScales, heads: int) -> tuple[Layer, LayerScales]:
    head_dim = len(layer.attention_norm.gamma) // heads
    qkv_scale = np.repeat(np.concatenate([scales.query, scales.key, scales.value]), head_dim)
    guard_bits = _guard_bits(scales.qkv_weight, qkv_scale)
    qkv, qkv_weight = fp.narrow_linear(
        layer.qkv, Input(scale=before.view), scales.qkv_weight, qkv_scale / 2**guard_bits
    )
    attention_output, attention_output_weight = fp.residual_linear(
        layer.attention_output,
        Input(scale=np.repeat(scales.context, head_dim)),
        scales.attention_output_weight,
        scales.attention_sum,
        _shift_between(before.residual, scales.attention_sum),
    )
    ffn_input, ffn_input_weight = fp.narrow_linear(
        layer.ffn_input,
        Input(scale=scales.attention_norm.view),
        scales.ffn_input_weight,
        gelu_input_scale(scales.gelu_range_shift),
    )
    ffn_output, ffn_output_weight = fp.residual_linear(
        layer.ffn_output,
        Input(scale=scales.gelu_output, offset=scales.gelu_zero_point),
        scales.ffn_output_weight,
        scales.ffn_sum,
        _shift_between(scales.attention_norm.residual, scales.ffn_sum),
    )
    program = Layer(
        qkv=qkv,
        attention=_attention(scales, guard_bits, head_dim),
        attention_output=attention_output,
        attention_norm=fp.layer_norm(layer.attention_norm, scales.attention_norm.residual, scales.attention_norm.view),
        ffn_input=ffn_input,
        gelu=Gelu(
            range_shift=scales.gelu_range_shift,
            multiplier=fp.view_multiplier(gelu_input_scale(scales.gelu_range_shift), scales.gelu_output),
            zero_point=scales.gelu_zero_point,
        ),
        ffn_output=ffn_output,
        ffn_norm=fp.layer_norm(layer.ffn_norm, scales.ffn_norm.residual, scales.ffn_norm.view),
    )
    return program, replace(
        scales,
        qkv_weight=qkv_weight,
        attention_output_weight=attention_output_weight,
        ffn_input_weight=ffn_input_weight,
        ffn_output_weight=ffn_output_weight,
    )


def _guard_bits(weight_scale: Vector, output_scale: Vector | float, most: int = GUARD_BITS_MAX) -> int:
    """The most guard bits, at most `most`, at which every accumulator is still finer than its 16-bit output."""
    _, shift = fp.mantissa_q15(weight_scale / output_scale)
    if shift.min() < 1:
        raise ValueError("an accumulator is coarser than its 8-bit output; widen that output's scale")
    return int(min(shift.min(), most))


def _shift_between(coarse: float, fine: float) -> int:
    shift = round(float(np.log2(coarse / fine)))
    if abs(coarse / fine / 2.0**shift - 1) > 1e-9:
        raise ValueError(f"residual scale {coarse} is no power of two times the sum's {fine}; realise the scales first")
    return shift


def _attention(scales: LayerScales, guard_bits: int, head_dim: int) -> Attention:
    """Scores to log2 units with as many fractional bits as leave every shift >= 0."""
    per_unit = scales.query * scales.key / np.sqrt(head_dim) * LOG2_E
    for bits in FRACTION_BITS:
        multiplier, shift = fp.mantissa_q15(per_unit * 2**bits)
        if shift.min() >= 0:
            break
    else:
        raise ValueError(f"attention scores too coarse: {per_unit.max():.3g} in log2 units; clip Q or K")
    return Attention(
        qkv_guard_bits=guard_bits,
        score_shift=shift.astype(np.int32),
        score_multiplier=multiplier.astype(np.int16),
        exp_fraction_bits=bits,
        context_multiplier=np.rint(scales.value / scales.context * 2**CONTEXT_BITS).astype(np.int32),
    )


def _embedding(model: RealModel, scale: float, word_multiplier: NDArray[np.int16] | None) -> Embedding:
    if word_multiplier is None:
        rows = np.abs(model.word).max(axis=1) / (fp.WEIGHT_MAX * scale)
        word_multiplier = np.clip(np.ceil(rows - 1e-9), 1, 2**15 - 1).astype(np.int16)
    units = word_multiplier.astype(np.float64) * scale
    word = np.clip(np.rint(model.word / units[:, None]), -fp.WEIGHT_MAX, fp.WEIGHT_MAX)
    largest = float(np.abs(model.position).max() + np.abs(model.token_type).max()) / scale
    shift = max(0, int(np.ceil(np.log2(largest / (2**15 - 4)))))
    return Embedding(
        word=word.astype(np.int8),
        word_multiplier=word_multiplier,
        position=_s16(model.position / scale / 2**shift),
        token_type=_s16(model.token_type / scale / 2**shift),
        position_shift=shift,
    )


def _s16(values: Matrix) -> NDArray[np.int16]:
    return np.rint(values).astype(np.int16)


def _head(model: RealModel, scales: Scales, before: NormScales) -> tuple[Head, Vector | None]:
    """Pooler (if any) and output; the output has one weight scale, so that logits compare."""
    pooler: NarrowLinear | None = None
    pooler_weight: Vector | None = None
    guard_bits: int | None = None
    source = Input(scale=before.view)
    if model.pooler is not None and scales.pooler_weight is not None:
        if scales.relu is not None:
            guard_bits = _guard_bits(scales.pooler_weight, scales.relu, RELU_GUARD_BITS)
        output_scale = pooler_scale(scales.relu, guard_bits)
        pooler, pooler_weight = fp.narrow_linear(model.pooler, source, scales.pooler_weight, output_scale)
        source = _pooled(model, scales)
    one_scale = np.full(len(model.output.bias), scales.logit)
    weight = fp.integer_weight(model.output, source, one_scale)
    none = np.zeros(len(one_scale), dtype=np.int64)
    output = Linear(weight=weight, bias=fp.integer_bias(model.output, weight, source, one_scale, none))
    return Head(pooler=pooler, relu_guard_bits=guard_bits, output=output), pooler_weight
