"""Stochastic weight averaging."""

import torch
from torch import nn

from intbert.builder.averaging import MeanOfWeights


def test_mean_replaces_the_weights() -> None:
    """After some steps the model holds the mean of the weights that were taken."""
    model = nn.Linear(2, 2)
    mean = MeanOfWeights(model, every_steps=1)
    for value in (1.0, 2.0, 6.0):
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        mean.take()
    mean.put()
    assert all(torch.allclose(parameter, torch.full_like(parameter, 3.0)) for parameter in model.parameters())


def test_nothing_taken_changes_nothing() -> None:
    """A phase shorter than its warm-up leaves the model as it is."""
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    MeanOfWeights(model, every_steps=1).put()
    assert torch.equal(model.weight, before)
