"""Attention for training on a CPU: the fused kernel where sequences are long, plain products where they are short.

PyTorch's fused attention on a CPU works through small tiles, and its backward pass costs more than the rest of a short
batch's layer; two batched products with a softmax between them are up to 1.9 times as fast. From about 250 tokens on
the scores no longer stay in the cache, and the fused kernel wins (docs/building.md, "Time on a CPU").
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "intbert_by_length"
SHORT_TOKENS_MAX = 224


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function: (sequences, tokens, heads, head_dim) of (sequences, heads, tokens, head_dim).

    The mask is True where a key counts.
    """
    if query.device.type != "cpu" or query.shape[2] > SHORT_TOKENS_MAX:
        fused, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return fused, None
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(-1, -2) * factor
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    shares = functional.dropout(scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype), dropout, module.training)
    return (shares @ value).transpose(1, 2).contiguous(), None


def attend_by_length(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with this attention."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return model
