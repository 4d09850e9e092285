"""The reference forward pass: token ids and cumulative lengths in, int32 logits out (docs/arithmetic.md, section 8)."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.embedding import embed
from intbert.arithmetic.fixed import Int, int64
from intbert.arithmetic.gelu import gelu_to_u8
from intbert.arithmetic.layernorm import layer_norm, view_s8
from intbert.arithmetic.linear import UNSIGNED_OFFSET, accumulate, add_residual, narrow, narrow_to_s8
from intbert.arithmetic.program import Head, Layer, Program
from intbert.arithmetic.relu import relu_to_u8
from intbert.arithmetic.softmax import attend
from intbert.arithmetic.tanh import tanh_to_s8


def forward(
    program: Program,
    token_ids: NDArray[np.int32],
    type_ids: NDArray[np.int32],
    cumulative_lengths: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Logits of a ragged batch: no padding, no mask.

    token_ids, type_ids: (tokens,), sequences one after another; cumulative_lengths: (sequences + 1,), from 0 to tokens.
    Returns (sequences, labels) with a pooler, otherwise (tokens, outputs).
    """
    lengths = np.diff(cumulative_lengths)
    positions = np.concatenate([np.arange(length) for length in lengths]) + program.position_offset
    h = embed(int64(token_ids), int64(type_ids), positions, program.embedding)
    residual = layer_norm(h, program.embedding_norm)
    view = view_s8(residual, program.embedding_norm)
    for layer in program.layers:
        residual, view = encoder_layer(layer, program.heads, residual, view, cumulative_lengths)
    return head_logits(program.head, view, cumulative_lengths).astype(np.int32)


def encoder_layer(
    layer: Layer, heads: int, residual: Int, view: Int, cumulative_lengths: NDArray[np.int32]
) -> tuple[Int, Int]:
    """One layer: the 16-bit residual and its 8-bit view, (tokens, n) each, in and out."""
    qkv = narrow_to_s8(narrow(accumulate(view + UNSIGNED_OFFSET, layer.qkv), layer.qkv), layer.attention.qkv_guard_bits)
    context = self_attention(layer, heads, qkv, cumulative_lengths)
    acc = accumulate(context + UNSIGNED_OFFSET, layer.attention_output)
    residual = layer_norm(add_residual(acc, residual, layer.attention_output), layer.attention_norm)
    view = view_s8(residual, layer.attention_norm)
    x16 = narrow(accumulate(view + UNSIGNED_OFFSET, layer.ffn_input), layer.ffn_input)
    acc = accumulate(gelu_to_u8(x16, layer.gelu), layer.ffn_output)
    residual = layer_norm(add_residual(acc, residual, layer.ffn_output), layer.ffn_norm)
    return residual, view_s8(residual, layer.ffn_norm)


def self_attention(layer: Layer, heads: int, qkv: Int, cumulative_lengths: NDArray[np.int32]) -> Int:
    """Context of every token, (tokens, n) in s8, from qkv (tokens, 3n); each sequence attends to itself only."""
    channels = qkv.shape[1] // 3
    head_dim = channels // heads
    context = np.empty((qkv.shape[0], channels), dtype=np.int64)
    for start, end in pairwise(cumulative_lengths):
        for head in range(heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            query, key, value = qkv[start:end].reshape(-1, 3, channels)[:, :, columns].swapaxes(0, 1)
            context[start:end, columns] = attend(query, key, value, head, layer.attention)
    return context


def head_logits(head: Head, view: Int, cumulative_lengths: NDArray[np.int32]) -> Int:
    """(8.1) logits are raw accumulators at one scale a model."""
    if head.pooler is None:
        return accumulate(view + UNSIGNED_OFFSET, head.output)
    first = view[cumulative_lengths[:-1]]
    x16 = narrow(accumulate(first + UNSIGNED_OFFSET, head.pooler), head.pooler)
    if head.relu_guard_bits is None:
        return accumulate(tanh_to_s8(x16) + UNSIGNED_OFFSET, head.output)
    return accumulate(relu_to_u8(x16, head.relu_guard_bits), head.output)
