"""Stochastic weight averaging."""

import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from intbert.builder import averaging
from intbert.builder.averaging import MeanOfWeights
from intbert.builder.backbone import load_tokenizer
from intbert.builder.features import Feature
from intbert.builder.finetune import finetune
from intbert.builder.prepared import PreparedData, prepare
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from tests.builder.tiny_recipes import SENTIMENT, SPANS

STEPS_AN_EPOCH = 5


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


def averaging_recipe(template: str, checkpoint: Path) -> Recipe:
    """One epoch, then two of averaging with a checkpoint after each."""
    tables = tomllib.loads(template.format(checkpoint=checkpoint))
    tables["data"]["train_examples_max"] = 8 * STEPS_AN_EPOCH
    tables["data"]["holdout_fraction"] = 0.0
    tables["finetune"] |= {
        "epochs": 1,
        "checkpoint_steps": STEPS_AN_EPOCH,
        "average": {"epochs": 2, "learning_rate": 1e-3, "every_steps": 2},
    }
    return parse_recipe(tables, "test")


def train(recipe: Recipe, data: PreparedData, folder: Path, *, resume: bool = False) -> dict[str, torch.Tensor]:
    """The teacher's weights."""
    teacher = finetune(
        recipe,
        labels=data.labels,
        tokenizer=load_tokenizer(recipe),
        train=data.train,
        train_first=data.train_first,
        holdout=data.holdout,
        work_dir=folder,
        resume=resume,
        progress=False,
    )
    return load_file(teacher / "model.safetensors")


def test_interrupted_averaging_goes_on(
    tmp_path: Path, checkpoint: Path, sentiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint at the end of an epoch: the weights of training through, the mean's earlier part included."""
    monkeypatch.setattr(averaging, "WARMUP_STEPS", 2)
    recipe = averaging_recipe(SENTIMENT, checkpoint)
    data = prepare(recipe, sentiment, load_tokenizer(recipe))
    through = train(recipe, data, tmp_path)
    last = tmp_path / "averaging" / f"checkpoint-{2 * STEPS_AN_EPOCH}"
    at_the_end = load_file(last / "model.safetensors")
    assert any(not torch.equal(at_the_end[name], value) for name, value in through.items())
    shutil.rmtree(last)
    again = train(recipe, data, tmp_path, resume=True)
    assert all(torch.equal(again[name], value) for name, value in through.items())


def test_mismatched_questions_join_with_averaging(
    tmp_path: Path, checkpoint: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the teacher trains on the questions with an answer alone; afterwards on all."""
    recipe = averaging_recipe(SPANS, checkpoint)
    recipe = recipe.model_copy(update={"span": recipe.span.model_copy(update={"mismatched_fraction": 0.9})})
    data = prepare(recipe, questions, load_tokenizer(recipe))
    seen: list[Sequence[Feature]] = []
    made = averaging.GuidedTrainer

    def recording(*, train_dataset: Sequence[Feature], **more: Any) -> Any:
        seen.append(train_dataset)
        return made(train_dataset=train_dataset, **more)

    monkeypatch.setattr("intbert.builder.finetune.GuidedTrainer", recording)
    monkeypatch.setattr(averaging, "GuidedTrainer", recording)
    train(recipe, data, tmp_path)
    assert [len(part) for part in seen] == [len(data.train_first), len(data.train)]
    assert len(data.train_first) < len(data.train)
