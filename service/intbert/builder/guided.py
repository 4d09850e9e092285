"""Fine-tuning that follows a mentor's logits beside the labels, where its examples have them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from intbert.builder.batches import ShufflingTrainer
from intbert.builder.features import Feature, padding_collator
from intbert.builder.quantise.distil import logit_loss, logits_of
from intbert.builder.recipe import Recipe

MENTOR_LOGITS = "mentor_logits"
FAR_BELOW = -1e4  # the logit of padding


class GuidedTrainer(ShufflingTrainer):
    """transformers' Trainer, whose training loss is shared between the labels and the mentor's logits."""

    def __init__(self, *, recipe: Recipe, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._recipe = recipe

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Trainer's hook. Without a mentor's logits in the batch (as in evaluation), the labels' loss alone."""
        taught = inputs.pop(MENTOR_LOGITS, None)
        if taught is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**inputs)
        settings = self._recipe.finetune
        ours = logits_of(outputs, inputs["attention_mask"].bool())
        theirs = [taught] if len(ours) == 1 else list(taught.unbind(-1))
        guidance = sum(
            logit_loss(student, mentor, self._recipe.model.problem_type, settings.mentor_temperature)
            for student, mentor in zip(ours, theirs, strict=True)
        ) / len(ours)
        loss = (1 - settings.mentor_weight) * outputs.loss + settings.mentor_weight * guidance
        return (loss, outputs) if return_outputs else loss


def guided_collator(
    tokenizer: PreTrainedTokenizerFast, pad_multiple: int
) -> Callable[[Sequence[Feature]], dict[str, Any]]:
    """As `padding_collator`; a mentor's logits are stacked, those of tokens padded far below everything."""
    pad = padding_collator(tokenizer, pad_multiple)

    def collate(features: Sequence[Feature]) -> dict[str, Any]:
        batch = pad([{name: value for name, value in item.items() if name != MENTOR_LOGITS} for item in features])
        if MENTOR_LOGITS in features[0]:
            batch[MENTOR_LOGITS] = _stack([item[MENTOR_LOGITS] for item in features], batch["input_ids"].shape[1])
        return dict(batch)

    return collate


def _stack(logits: Sequence[Any], tokens: int) -> torch.Tensor:
    """(examples, labels), or (examples, tokens, 2)."""
    if logits[0].ndim == 1:
        return torch.from_numpy(np.stack(logits)).float()
    padded = torch.full((len(logits), tokens, 2), FAR_BELOW)
    for row, rows in zip(padded, logits, strict=True):
        row[: len(rows)] = torch.from_numpy(rows).float()
    return padded
