"""The torch integer twin: a second implementation of the specification, independent of the NumPy one.

It exists to be compared: all tokens share the linear layers, sequences of one length share attention, tensors are
int64, products go through float64, which is exact at these sizes. Its logits equal `arithmetic.encoder.forward` bit for
bit.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intbert.arithmetic.program import Attention, Gelu, Layer, LayerNorm, Linear, NarrowLinear, Program, ResidualLinear


def twin_logits(
    program: Program,
    token_ids: NDArray[np.int32],
    type_ids: NDArray[np.int32],
    cumulative_lengths: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Logits of a ragged batch: (sequences, labels) with a pooler, otherwise (tokens, outputs).

    token_ids, type_ids: (tokens,); cumulative_lengths: (sequences + 1,), from 0 to tokens.
    """
    starts = _t(cumulative_lengths[:-1])
    positions = torch.arange(len(token_ids)) - torch.repeat_interleave(starts, _t(np.diff(cumulative_lengths)))
    groups = list(_by_length(cumulative_lengths))
    with torch.no_grad():
        residual, view = _embed(program, _t(token_ids), _t(type_ids), positions)
        for layer in program.layers:
            residual, view = _layer(layer, program.heads, residual, view, groups)
        return _head(program, view, starts).to(torch.int32).numpy()


def _by_length(cumulative_lengths: NDArray[np.int32]) -> Iterator[Tensor]:
    """Row numbers (sequences, length) of all sequences of one length."""
    starts, lengths = cumulative_lengths[:-1], np.diff(cumulative_lengths)
    for length in np.unique(lengths):
        yield _t(starts[lengths == length][:, None] + np.arange(length)[None])


def _embed(program: Program, token_ids: Tensor, type_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    table = program.embedding
    place = _t(table.position)[program.position_offset + positions] + _t(table.token_type)[type_ids]
    word = _t(table.word)[token_ids] * _t(table.word_multiplier)[token_ids][..., None]
    residual = _norm(word + place * 2**table.position_shift, program.embedding_norm)
    return residual, _view(residual, program.embedding_norm)


def _head(program: Program, view: Tensor, starts: Tensor) -> Tensor:
    if program.head.pooler is None:
        return _product(view, program.head.output)
    x = _narrow(_product(view[starts], program.head.pooler), program.head.pooler)
    guard = program.head.relu_guard_bits
    if guard is None:
        return _product(_tanh(x), program.head.output)
    return _product(((x + 2 ** (guard - 1)) >> guard).clamp(0, 255), program.head.output, offset=0)


def _layer(layer: Layer, heads: int, residual: Tensor, view: Tensor, groups: list[Tensor]) -> tuple[Tensor, Tensor]:
    qkv = _narrow(_product(view, layer.qkv), layer.qkv)
    guard = layer.attention.qkv_guard_bits
    qkv = torch.clamp((qkv + 2 ** (guard - 1)) >> guard, -127, 127)
    context = torch.empty_like(view)
    for rows in groups:
        split = qkv[rows].view(*rows.shape, 3, heads, -1).permute(2, 0, 3, 1, 4)
        context[rows] = _attend(split[0], split[1], split[2], layer.attention).transpose(1, 2).flatten(2)
    acc = _product(context, layer.attention_output)
    residual = _norm(_add(acc, residual, layer.attention_output), layer.attention_norm)
    x = _narrow(_product(_view(residual, layer.attention_norm), layer.ffn_input), layer.ffn_input)
    acc = _product(_gelu(x, layer.gelu), layer.ffn_output, offset=0)
    residual = _norm(_add(acc, residual, layer.ffn_output), layer.ffn_norm)
    return residual, _view(residual, layer.ffn_norm)


def _t(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values).long()


def _q15(a: Tensor, b: Tensor | int) -> Tensor:
    return (a * b + 2**14) >> 15


def _high(a: Tensor, b: Tensor) -> Tensor:
    return (a * b) >> 32


def _exact(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double()).long()


def _product(x: Tensor, linear: Linear, offset: int = 128) -> Tensor:
    return _exact(x + offset, _t(linear.weight).T) + _t(linear.bias)


def _narrow(acc: Tensor, linear: NarrowLinear) -> Tensor:
    return _q15(torch.clamp(acc >> _t(linear.shift), -(2**15), 2**15 - 1), _t(linear.multiplier))


def _add(acc: Tensor, residual: Tensor, linear: ResidualLinear) -> Tensor:
    scaled = _high(acc * 2**linear.accumulator_shift, _t(linear.multiplier))
    return torch.clamp(residual * 2**linear.residual_shift + scaled, -(2**21 - 1), 2**21 - 1)


def _bits(x: Tensor) -> Tensor:
    """Bit length of x >= 0: how many powers of two up to 2^62 are not above it."""
    powers = 2 ** torch.arange(63)
    return torch.bucketize(x, powers, right=True)


def _floor_divide(a: Tensor, b: Tensor | int) -> Tensor:
    return torch.div(a, b, rounding_mode="floor")


def _square_root(x: Tensor) -> Tensor:
    """floor(sqrt(x)) from a float64 guess, corrected by integer comparison."""
    root = x.double().sqrt().long()
    root = torch.where(root * root > x, root - 1, root)
    return torch.where((root + 1) * (root + 1) <= x, root + 1, root)


def _norm(h: Tensor, norm: LayerNorm) -> Tensor:
    channels = h.shape[-1]
    mean = _floor_divide(2 * h.sum(-1, keepdim=True) + channels, 2 * channels)
    centred = h - mean
    energy = centred.square().sum(-1, keepdim=True).clamp_min(1)
    half = (62 - _bits(energy)) >> 1
    root = _square_root(energy << (2 * half))
    reciprocal = _floor_divide(torch.full_like(root, 2**61), root).clamp_max(2**31 - 1)
    z = _high(centred << half, reciprocal)
    return torch.clamp((_high(z, _t(norm.gain)) + _t(norm.bias)) >> norm.shift, -(2**15), 2**15 - 1)


def _view(residual: Tensor, norm: LayerNorm) -> Tensor:
    return _q15(residual, _t(norm.view)).clamp(-127, 127)


def _exp2(t: Tensor, fraction_bits: int) -> Tensor:
    fraction = (t * 2 ** (15 - fraction_bits)) & 32767
    mantissa = 32767 - _q15(fraction, 22024 - _q15(fraction, 5640))
    return mantissa >> (t >> fraction_bits).clamp_max(15)


def _attend(query: Tensor, key: Tensor, value: Tensor, attention: Attention) -> Tensor:
    """(sequences, heads, tokens, head_dim) in and out."""
    scores = _exact(query, key.transpose(-1, -2))
    shift = _t(attention.score_shift)[:, None, None]
    distance = scores.amax(-1, keepdim=True) - scores + ((1 << shift) >> 1)
    t = _q15((distance >> shift).clamp_max(2**15 - 1), _t(attention.score_multiplier)[:, None, None])
    numerators = _q15(_exp2(t, attention.exp_fraction_bits), 255)
    denominator = numerators.sum(-1, keepdim=True)
    drop = _bits(denominator) - 8
    row = _floor_divide(_t(attention.context_multiplier)[:, None, None] << drop, denominator)
    guarded = _q15(_exact(numerators, value) >> drop, row)
    return ((guarded + 16) >> 5).clamp(-127, 127)


def _gelu(x: Tensor, gelu: Gelu) -> Tensor:
    magnitude = x.abs()
    root = 28210 - (magnitude.clamp_max(28210 >> gelu.range_shift) << gelu.range_shift)
    square = _q15(root, root)
    value = x.clamp_min(0) - _q15(magnitude, _q15(square, square))
    return (_q15(value, _t(gelu.multiplier)) + gelu.zero_point).clamp(0, 255)


def _tanh(x: Tensor) -> Tensor:
    exponential = _exp2(((x.abs() * 23637) >> 13).clamp_max(32767), 11)
    denominator = 32768 + exponential
    y = _floor_divide((32768 - exponential) * 32767 + (denominator >> 1), denominator)
    return ((torch.where(x < 0, -y, y) + 128) >> 8).clamp(-127, 127)
