"""Autograd functions that imitate the integer forward pass: integer-valued tensors, straight-through gradients.

Activations travel as integers (8-bit ones are exact in bfloat16), so one matrix product serves forward and backward as
in float training, and scales are applied after it. Learned step sizes follow LSQ (Esser et al. 2020) as one base-2
logarithm `gain` a column: quantising and dequantising are differentiated together, at the quantiser, so nothing else
needs the scale's gradient: d(q * step) / d(log step) = step * (q - y inside, q outside the range), y being unrounded.

Columns are the last dimension everywhere; a Column is a float32 tensor (columns,).
"""

from math import log
from typing import Any

import torch
from torch import Tensor

TAIL_OFFSET = 0.86090  # of arithmetic.gelu
TAIL_SLOPE = 0.23291
EXP2_LINEAR = 0.67212  # of arithmetic.softmax
EXP2_QUADRATIC = 0.17212
LN_2 = log(2.0)
WEIGHT_MAX = 127
BLOCK_ELEMENTS = 2**16


class QuantiseWeight(torch.autograd.Function):
    """(weight (o, i), input_scale (i,)) -> (integers (o, i) in `dtype`, scale (o,)) by each row's folded maximum."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, input_scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        folded = weight * input_scale
        scale = torch.linalg.vector_norm(folded, ord=torch.inf, dim=1).clamp_min_(1e-12).div_(WEIGHT_MAX)
        integers = folded.mul_(scale.reciprocal()[:, None]).round_().to(dtype)
        ctx.save_for_backward(input_scale, scale)
        ctx.mark_non_differentiable(scale)
        return integers, scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> Any:
        input_scale, scale = ctx.saved_tensors
        return grad.float().mul_(input_scale).mul_(scale.reciprocal()[:, None]), None, None


class QuantiseColumns(torch.autograd.Function):
    """q = clamp(round(x * factor + offset), -127, 127); factor = unit of x over the step, which includes `gain`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor, offset: Tensor, gain: Tensor, dtype: torch.dtype) -> Tensor:
        q = torch.empty_like(x, dtype=dtype, memory_format=torch.contiguous_format)
        for part, out in zip(_blocks(x), _blocks(q), strict=True):
            out.copy_(torch.addcmul(offset, part.float(), factor).round_().clamp_(-WEIGHT_MAX, WEIGHT_MAX))
        ctx.save_for_backward(x, q, factor, offset)
        ctx.learn = gain.requires_grad
        return q

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, q, factor, offset = ctx.saved_tensors
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        grad_offset, grad_gain = torch.zeros_like(offset), torch.zeros_like(offset) if ctx.learn else None
        for raw, part, integers, out in zip(_blocks(grad), _blocks(x), _blocks(q), _blocks(grad_x), strict=True):
            y = torch.addcmul(offset, part.float(), factor)
            inside = (y.abs() <= WEIGHT_MAX).float().mul_(raw)
            if grad_gain is not None:
                grad_gain += (integers * raw.float()).sub_(y.mul_(inside)).sum(dim=0)
            grad_offset += inside.sum(dim=0)
            out.copy_(inside.mul_(factor))
        return grad_x, None, grad_offset, None if grad_gain is None else grad_gain.mul_(LN_2), None


class QuantiseGelu(torch.autograd.Function):
    """q = clamp(round(gelu(acc * scale + bias) / step), -zero_point, 255 - zero_point): u8 less its zero point.

    Works through blocks of rows that stay in a core's cache: the widest activation makes the most memory traffic.
    """

    @staticmethod
    def forward(
        ctx: Any, acc: Tensor, scale: Tensor, bias: Tensor, step: Tensor, gain: Tensor, zero_point: int
    ) -> Tensor:
        q = torch.empty_like(acc, memory_format=torch.contiguous_format)
        per_step = step.reciprocal()
        for part, out in zip(_blocks(acc), _blocks(q), strict=True):
            value = gelu(torch.addcmul(bias, part.float(), scale))
            out.copy_(value.mul_(per_step).round_().clamp_(-zero_point, 255 - zero_point))
        ctx.save_for_backward(acc, q, scale, bias, step)
        ctx.zero_point, ctx.learn = zero_point, gain.requires_grad
        return q

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        acc, q, scale, bias, step = ctx.saved_tensors
        grad_acc = torch.empty_like(acc, memory_format=torch.contiguous_format)
        per_step = step.reciprocal()
        grad_bias, grad_gain = torch.zeros_like(bias), torch.zeros_like(bias) if ctx.learn else None
        for raw, part, integers, out in zip(_blocks(grad), _blocks(acc), _blocks(q), _blocks(grad_acc), strict=True):
            rounded = integers.float()
            x = torch.addcmul(bias, part.float(), scale)
            inside = ((rounded > -ctx.zero_point) & (rounded < 255 - ctx.zero_point)).float().mul_(raw)
            if grad_gain is not None:
                grad_gain += rounded.mul_(raw).sub_(gelu(x).mul_(per_step).mul_(inside)).sum(dim=0)
            inside.mul_(gelu_slope(x)).mul_(per_step)
            grad_bias += inside.sum(dim=0)
            out.copy_(inside.mul_(scale))
        return grad_acc, None, grad_bias, None, None if grad_gain is None else grad_gain.mul_(LN_2), None


class IntegerAttention(torch.autograd.Function):
    """Context in units of V from integer-valued Q, K, V (attentions, tokens, head_dim), float32; attentions are
    sequences times heads.

    log2_unit: (attentions, 1, 1) log2 units of one unit of a score; padding: (attentions, 1, tokens), True where a key
    is padding. Numerators are rounded to 0..255 with the maximum at 255; the divisor follows the product with V.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, log2_unit: Tensor, padding: Tensor | None
    ) -> Tensor:
        context, tokens = torch.empty_like(query), query.shape[1]
        probabilities = query.new_empty(query.shape[0], tokens, tokens)
        for block in _attention_blocks(query):
            scores = (query[block] * log2_unit[block]) @ key[block].transpose(-1, -2)
            if padding is not None:
                scores.masked_fill_(padding[block], -torch.inf)
            numerators = exp2_negative(scores.amax(dim=-1, keepdim=True) - scores).mul_(255).round_()
            torch.div(numerators, numerators.sum(dim=-1, keepdim=True), out=probabilities[block])
            torch.bmm(probabilities[block], value[block], out=context[block])
        ctx.save_for_backward(query, key, value, log2_unit, probabilities)
        return context

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        query, key, value, log2_unit, probabilities = ctx.saved_tensors
        grads = [torch.empty_like(query) for _ in range(3)]
        unit = log2_unit * LN_2
        for block in _attention_blocks(query):
            inner = grad[block] @ value[block].transpose(-1, -2)
            inner.sub_((inner * probabilities[block]).sum(dim=-1, keepdim=True)).mul_(probabilities[block])
            inner.mul_(unit[block])
            torch.bmm(inner, key[block], out=grads[0][block])
            torch.bmm(inner.transpose(-1, -2), query[block], out=grads[1][block])
            torch.bmm(probabilities[block].transpose(-1, -2), grad[block], out=grads[2][block])
        return *grads, None, None


class RoundRows(torch.autograd.Function):
    """Rows rounded to s8 at each row's maximum: what the embedding table stores."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        step = rows.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / WEIGHT_MAX
        return (rows / step).round_().mul_(step)

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:
        return grad


def quantise_weight(weight: Tensor, input_scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`QuantiseWeight`, typed."""
    integers, scale = QuantiseWeight.apply(weight, input_scale, dtype)  # type: ignore[no-untyped-call]
    return integers, scale


def quantise_columns(x: Tensor, factor: Tensor, offset: Tensor, gain: Tensor, dtype: torch.dtype) -> Tensor:
    """`QuantiseColumns`, typed."""
    q: Tensor = QuantiseColumns.apply(x, factor, offset, gain, dtype)  # type: ignore[no-untyped-call]
    return q


def gelu(x: Tensor) -> Tensor:
    """max(x, 0) - |x| (0.86090 - 0.23291 |x|)^4, the specification's polynomial; a new tensor."""
    magnitude = x.abs()
    root = (TAIL_OFFSET - TAIL_SLOPE * magnitude).clamp_min_(0)
    return x.clamp_min(0).sub_(root.square_().square_().mul_(magnitude))


def gelu_slope(x: Tensor) -> Tensor:
    """Its derivative: [x > 0] - sign(x) r^3 (r - 4 * 0.23291 |x|), r the tail's fourth root."""
    magnitude = x.abs()
    root = (TAIL_OFFSET - TAIL_SLOPE * magnitude).clamp_min_(0)
    tail = root * root.square() * (root - 4 * TAIL_SLOPE * magnitude)
    return (x > 0).float().sub_(torch.sign(x).mul_(tail))


def exp2_negative(t: Tensor) -> Tensor:
    """2^-t for t >= 0 (0 for infinity), the specification's quadratic in the fraction."""
    t = t.clamp_max(31.0)
    whole = t.floor()
    fraction = t - whole
    mantissa = 1 - fraction * (EXP2_LINEAR - EXP2_QUADRATIC * fraction)
    return mantissa.mul_(torch.exp2(-whole))


def _attention_blocks(query: Tensor) -> list[slice]:
    """Runs of attentions whose scores together have at most 4 BLOCK_ELEMENTS."""
    attentions, tokens, _ = query.shape
    size = max(1, 4 * BLOCK_ELEMENTS // tokens**2)
    return [slice(start, start + size) for start in range(0, attentions, size)]


def _blocks(values: Tensor) -> tuple[Tensor, ...]:
    """Views of whole rows, at most BLOCK_ELEMENTS each."""
    rows = values.flatten(0, -2)
    blocks: tuple[Tensor, ...] = torch.split(rows, max(1, BLOCK_ELEMENTS // rows.shape[1]))
    return blocks
