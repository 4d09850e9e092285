"""What the trainings have in common: the Trainer's arguments, and its measure on held-out data."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction, TrainingArguments

from intbert.builder.recipe import FinetuneSection, MentorSection, ProblemType, Q8bertSection, QuantiseSection, Recipe

CHECKPOINTS_KEPT = 2
LOG_STEPS = 50


def section_arguments(
    recipe: Recipe,
    section: FinetuneSection | MentorSection | QuantiseSection | Q8bertSection,
    folder: Path,
    *,
    evaluate: bool,
    progress: bool,
    examples: int,
    warmup_steps: int | None = None,
    **more: Any,
) -> TrainingArguments:
    """For a training by `section`, with checkpoints in `folder`; `more` are the Trainer's own names.

    warmup_steps: none: the section's fraction of all steps.
    """
    steps = max(1, round(section.epochs * -(-examples // section.batch_examples)))
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=section.epochs,
        per_device_train_batch_size=section.batch_examples,
        per_device_eval_batch_size=section.batch_examples,
        learning_rate=section.learning_rate,
        warmup_steps=round(section.warmup_fraction * steps) if warmup_steps is None else warmup_steps,
        weight_decay=section.weight_decay,
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["start_positions", "end_positions"] if recipe.model.problem_type == "span_qa" else ["labels"],
        eval_strategy="steps" if evaluate else "no",
        eval_steps=section.checkpoint_steps,
        save_strategy="steps",
        save_steps=section.checkpoint_steps,
        save_total_limit=CHECKPOINTS_KEPT,
        logging_steps=LOG_STEPS,
        disable_tqdm=not progress,
        report_to="none",
        **more,
    )


def selection_metric(problem_type: ProblemType) -> Any:
    """The Trainer's `compute_metrics`: accuracy of single-label tasks; other tasks choose by loss alone."""

    def accuracy(prediction: EvalPrediction) -> dict[str, float]:
        logits = np.asarray(prediction.predictions)
        return {"accuracy": float((logits.argmax(axis=-1) == prediction.label_ids).mean())}

    return accuracy if problem_type == "single_label_classification" else None
