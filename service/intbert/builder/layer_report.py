"""Errors of an integer program's layers and the cost of each of its tensors, in the shape that card and report show."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

import torch
from transformers import PreTrainedModel

from intbert.builder.quantise import Exported, dequantise, layer_errors, tensor_costs
from intbert.builder.quantise.real import state_dict
from intbert.builder.quantise.sensitivity import Tokens

COST_TOKENS_MAX = 2048  # of all texts: every tensor costs a forward pass
COST_BATCH = 16


def layer_report(exported: Exported, teacher: PreTrainedModel, texts: Sequence[Tokens]) -> dict[str, Any]:
    """Relative RMS errors against the FP32 original, and against the program's own weights in floating point.

    texts: token ids and type ids of each. The second comparison leaves out what training has moved: it shows the
    rounding of activations and the integer functions alone.
    """
    own = deepcopy(teacher)
    weights = {
        name: torch.from_numpy(array).float()
        for name, array in state_dict(dequantise(exported.program, exported.scales)).items()
    }
    own.load_state_dict(weights, strict=False)
    against_own = layer_errors(exported, own, texts)
    against_original = layer_errors(exported, teacher, texts)
    return {
        "points": [error.name for error in against_original],
        "tokens": sum(len(ids) for ids, _ in texts),
        "texts": len(texts),
        "own_weights": [round(error.residual, 6) for error in against_own],
        "original": [round(error.residual, 6) for error in against_original],
        "saturated": [round(error.saturated, 8) for error in against_original],
    }


def tensor_report(exported: Exported, teacher: PreTrainedModel, texts: Sequence[Tokens]) -> dict[str, Any]:
    """What rounding one tensor of the FP32 original costs, as the program rounds it, for every tensor.

    texts: the first of them are used, at least one, as long as they have 2,048 tokens together.
    """
    totals = accumulate(len(ids) for ids, _ in texts)
    few = [text for text, total in zip(texts, totals, strict=True) if total <= COST_TOKENS_MAX] or list(texts[:1])
    batches = list(_padded(sorted(few, key=lambda text: len(text[0]))))
    return {
        "tokens": sum(len(ids) for ids, _ in few),
        "texts": len(few),
        "costs": [cost.to_json() for cost in tensor_costs(teacher, exported.scales, batches)],
    }


def _padded(texts: Sequence[Tokens]) -> Iterator[dict[str, torch.Tensor]]:
    """Batches in the order given; padding is token 0 behind the attention mask."""
    for start in range(0, len(texts), COST_BATCH):
        chosen = texts[start : start + COST_BATCH]
        longest = max(len(ids) for ids, _ in chosen)
        fields = [(list(ids), list(types), [1] * len(ids), [0] * (longest - len(ids))) for ids, types in chosen]
        yield {
            "input_ids": torch.tensor([ids + rest for ids, _, _, rest in fields]),
            "token_type_ids": torch.tensor([types + rest for _, types, _, rest in fields]),
            "attention_mask": torch.tensor([ones + rest for _, _, ones, rest in fields]),
        }
