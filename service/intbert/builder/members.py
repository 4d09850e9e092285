"""Several trainings of one architecture, and the mean of their weights (model soup: Wortsman et al. 2022)."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from intbert.builder.failure import BackboneError
from intbert.builder.finetune import HISTORY_FILE
from intbert.builder.recipe import MemberSection, Recipe

WEIGHTS_FILE = "model.safetensors"


def recipe_of(recipe: Recipe, member: MemberSection) -> Recipe:
    """The recipe as one member trains by it; the same data are held out."""
    epochs = recipe.finetune.epochs if member.epochs is None else member.epochs
    backbone = {} if member.backbone is None else {"backbone": member.backbone, "backbone_revision": None}
    crop_fraction = recipe.span.crop_fraction if member.crop_fraction is None else member.crop_fraction
    return recipe.model_copy(
        update={
            "seed": member.seed,
            "model": recipe.model.model_copy(update=backbone),
            "data": recipe.data.model_copy(update={"holdout_seed": recipe.holdout_seed}),
            "span": recipe.span.model_copy(update={"crop_fraction": crop_fraction}),
            "finetune": recipe.finetune.model_copy(update={"epochs": epochs}),
        }
    )


def average_checkpoints(folders: Sequence[Path], destination: Path) -> None:
    """Write the first checkpoint to `destination`, with the mean of all checkpoints' weights in place of its own.

    How each was trained stays beside each. Raises BackboneError when they are not of one architecture.
    """
    tensors = [load_file(folder / WEIGHTS_FILE) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in weights.items()} for weights in tensors]
    for folder, other in zip(folders, shapes, strict=True):
        if different := sorted(name for name, _ in shapes[0].items() ^ other.items()):
            raise BackboneError(
                f"finetune.members: the weights in {folder} cannot be averaged with those in {folders[0]}: "
                f"{different[0]} is {_shape(other.get(different[0]))} and {_shape(shapes[0].get(different[0]))}; "
                "all must have the architecture of model.backbone"
            )
    shutil.copytree(folders[0], destination, dirs_exist_ok=True, ignore=shutil.ignore_patterns(HISTORY_FILE))
    mean = {name: _mean([other[name] for other in tensors]) for name in tensors[0]}
    save_file(mean, destination / WEIGHTS_FILE, metadata={"format": "pt"})


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape))


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    """Summed in double precision: the order of the members hardly matters."""
    return torch.stack(list(tensors)).double().mean(dim=0).float()
