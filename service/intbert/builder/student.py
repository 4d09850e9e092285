"""The quantised model: calibrated on training texts, then trained with the FP32 teacher's guidance."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, set_seed
from transformers.trainer_utils import get_last_checkpoint

from intbert.builder.bfloat16 import in_bfloat16
from intbert.builder.features import Feature, padding_collator
from intbert.builder.prepared import PreparedData
from intbert.builder.quantise import (
    DistillationSettings,
    DistillationTrainer,
    QuantisedModel,
    QuantiseSettings,
    TensorChoice,
    calibrate,
)
from intbert.builder.recipe import Recipe
from intbert.builder.training_arguments import section_arguments, selection_metric
from intbert.builder.training_log import Say, report_to

STUDENT_FILE = "student.pt"
CALIBRATION_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class StudentLog:
    """What the Trainer logged, and what calibration measured of each tensor."""

    history: list[dict[str, Any]]
    tensors: tuple[TensorChoice, ...]


def train_student(
    recipe: Recipe,
    *,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    data: PreparedData,
    folder: Path,
    progress: bool,
    say: Say,
) -> StudentLog:
    """Calibrate and train; saves the weights to `folder/student.pt`.

    Training goes on from the last checkpoint in `folder`, if there is one.
    """
    set_seed(recipe.seed)
    model = new_student(recipe, teacher)
    calibration = calibrate(model, calibration_batches(recipe, data.train, tokenizer))
    history: list[dict[str, Any]] = []
    if recipe.quantise.epochs > 0:
        trainer = DistillationTrainer(
            teacher=teacher,
            problem_type=recipe.model.problem_type,
            settings=distillation_settings(recipe),
            model=model,
            # The last step is kept, never the best one: only there are the ranges frozen.
            args=section_arguments(
                recipe,
                recipe.quantise,
                folder / "checkpoints",
                evaluate=bool(data.holdout),
                progress=progress,
                examples=len(data.train),
            ),
            train_dataset=data.train,
            eval_dataset=data.holdout or None,
            data_collator=padding_collator(tokenizer, recipe.finetune.pad_multiple),
            processing_class=tokenizer,
            compute_metrics=selection_metric(recipe.model.problem_type),
        )
        report_to(trainer, "quantise", say, progress=progress)
        checkpoints = folder / "checkpoints"
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
        history = trainer.state.log_history
    torch.save(model.state_dict(), folder / STUDENT_FILE)
    return StudentLog(history=history, tensors=calibration.tensors)


def new_student(recipe: Recipe, teacher: PreTrainedModel) -> QuantisedModel:
    """An uncalibrated quantised copy of the teacher."""
    settings = QuantiseSettings(
        bf16=in_bfloat16(recipe.quantise.bf16), train_embeddings=recipe.quantise.train_embeddings
    )
    return QuantisedModel.from_teacher(teacher, settings)


def load_student(recipe: Recipe, teacher: PreTrainedModel, folder: Path) -> QuantisedModel:
    """What `train_student` saved."""
    model = new_student(recipe, teacher)
    model.load_state_dict(torch.load(folder / STUDENT_FILE, weights_only=True))
    return model.eval()


def distillation_settings(recipe: Recipe) -> DistillationSettings:
    """The recipe's weights of the losses."""
    section = recipe.quantise
    return DistillationSettings(
        task_weight=section.task_weight,
        logit_weight=section.logit_weight,
        hidden_weight=section.hidden_weight,
        temperature=section.temperature,
        frozen_fraction=section.frozen_fraction,
        bf16=in_bfloat16(section.bf16),
    )


def calibration_batches(
    recipe: Recipe, train: Sequence[Feature], tokenizer: PreTrainedTokenizerFast
) -> Iterator[dict[str, torch.Tensor]]:
    """Padded batches of training examples drawn with the seed, sorted by length."""
    count = min(recipe.quantise.calibration_examples, len(train))
    chosen = random.Random(recipe.seed).sample(range(len(train)), count)
    features = sorted((train[index] for index in chosen), key=lambda item: len(item["input_ids"]))
    collate = padding_collator(tokenizer, recipe.finetune.pad_multiple)
    for start in range(0, count, CALIBRATION_BATCH):
        yield dict(collate(features[start : start + CALIBRATION_BATCH]))
