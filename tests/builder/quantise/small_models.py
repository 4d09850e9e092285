"""Small random BERTs whose activations have outlier channels, and texts for them."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import BertConfig

VOCABULARY = 97


def bert_config(**changes: int) -> BertConfig:
    """Two layers of 64 channels."""
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "max_position_embeddings": 64,
        "num_labels": 3,
    }
    return BertConfig(**(settings | changes))


def with_outliers(model: nn.Module) -> nn.Module:
    """Larger weights than at initialisation and some channels far above the others, as in trained models."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and parameter.dim() == 2:
                parameter.mul_(2)
            elif name.endswith("LayerNorm.weight"):
                parameter.copy_(torch.empty_like(parameter).uniform_(0.5, 1.5, generator=generator))
                parameter[3] *= 4
            else:
                parameter.copy_(torch.empty_like(parameter).uniform_(-0.2, 0.2, generator=generator))
    return model.eval()


def random_texts(count: int, seed: int = 0) -> list[list[int]]:
    """Token ids of texts of 1 to 40 tokens."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, VOCABULARY, size=rng.integers(1, 41)).tolist() for _ in range(count)]


def padded(texts: list[list[int]]) -> dict[str, torch.Tensor]:
    """One padded batch; padding has token id 0."""
    longest = max(len(text) for text in texts)
    ids = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def batches(count: int = 48, seed: int = 0) -> Iterator[dict[str, torch.Tensor]]:
    """Padded batches of eight texts."""
    texts = random_texts(count, seed)
    for start in range(0, count, 8):
        yield padded(texts[start : start + 8])


def ragged(texts: list[list[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Token ids, type ids and cumulative lengths."""
    token_ids = np.concatenate([np.asarray(text, dtype=np.int32) for text in texts])
    lengths = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int32)
    return token_ids, np.zeros_like(token_ids), lengths
