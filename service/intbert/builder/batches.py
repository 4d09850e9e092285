"""In which order a training sees its examples: batches of like lengths, one after another at random.

transformers groups examples of like lengths too, but leaves each run of fifty batches sorted, from the longest texts to
the shortest. Where length says something about the label, as of a sentence and its phrases, the weights then swing
with it, and each checkpoint behind a multiple of fifty steps has just seen the shortest.
"""

from collections.abc import Iterator
from itertools import chain

import torch
from torch.utils.data import Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler


class ShuffledBatches(Sampler[int]):
    """The batches of a sampler that groups by length, in random order; an incomplete one stays last."""

    def __init__(self, grouped: LengthGroupedSampler) -> None:
        self._grouped = grouped

    def __len__(self) -> int:
        return len(self._grouped)

    def __iter__(self) -> Iterator[int]:
        indices, size = list(self._grouped), self._grouped.batch_size
        complete = len(indices) // size
        batches = [indices[size * number : size * (number + 1)] for number in torch.randperm(complete).tolist()]
        return chain(*batches, indices[size * complete :])


class ShufflingTrainer(Trainer):
    """transformers' Trainer, which shuffles the batches where it groups by length."""

    def _get_train_sampler(self, train_dataset: torch.utils.data.Dataset[object] | None = None) -> Sampler[int] | None:
        sampler = super()._get_train_sampler(train_dataset)
        return ShuffledBatches(sampler) if isinstance(sampler, LengthGroupedSampler) else sampler
