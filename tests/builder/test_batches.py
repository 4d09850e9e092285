"""The order of a training's examples."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.trainer_pt_utils import LengthGroupedSampler

from intbert.builder.batches import ShuffledBatches


def order_of(lengths: list[int], batch_examples: int) -> list[int]:
    """One epoch's indices."""
    return list(ShuffledBatches(LengthGroupedSampler(batch_examples, lengths=lengths)))


@given(lengths=st.lists(st.integers(1, 60), min_size=4, max_size=400), batch_examples=st.integers(1, 40))
def test_every_example_comes_once(lengths: list[int], batch_examples: int) -> None:
    """In complete batches and what remains, whatever their number."""
    assert sorted(order_of(lengths, batch_examples)) == list(range(len(lengths)))


@pytest.mark.parametrize("examples", [3200, 3207])
def test_batches_of_like_lengths_come_in_random_order(examples: int) -> None:
    """Within a batch lengths are alike; from one batch to the next they rise as often as they fall."""
    torch.manual_seed(3)
    lengths = torch.randint(1, 100, (examples,)).tolist()
    order = order_of(lengths, 16)
    batches = [np.array([lengths[index] for index in order[start : start + 16]]) for start in range(0, 3200, 16)]
    assert np.mean([np.ptp(batch) for batch in batches]) < 5
    rises = np.mean([after.mean() > before.mean() for before, after in pairwise(batches)])
    assert 0.4 < rises < 0.6


def test_order_follows_the_seed() -> None:
    """As the whole training does; another epoch has another order."""
    lengths = list(range(1, 201))
    orders = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        orders.append([order_of(lengths, 8), order_of(lengths, 8)])
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]
