"""The FP32 teacher: transformers' Trainer on the recipe's data; the best checkpoint on held-out training data wins."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from intbert.builder.averaging import average_weights
from intbert.builder.backbone import load_model
from intbert.builder.bfloat16 import in_bfloat16
from intbert.builder.features import Feature
from intbert.builder.guided import GuidedTrainer, guided_collator
from intbert.builder.memory import check_memory
from intbert.builder.recipe import Recipe
from intbert.builder.training_arguments import section_arguments, selection_metric
from intbert.builder.training_log import Say, report_to

TEACHER, HISTORY_FILE = "teacher", "training.json"  # the folder of what was trained; the last file in it


def finetune(
    recipe: Recipe,
    *,
    labels: tuple[str, ...],
    tokenizer: PreTrainedTokenizerFast,
    train: Sequence[Feature],
    train_first: Sequence[Feature],
    holdout: Sequence[Feature],
    work_dir: Path,
    head_seed: int | None = None,
    resume: bool = False,
    progress: bool = True,
    say: Say = lambda _: None,
) -> Path:
    """Train the teacher and save it, with its tokenizer and `training.json`, to `work_dir/teacher`, which is returned.

    Examples with a mentor's logits are trained to follow them too (`mentor.guided_features`).
    train_first: what of `train` is used until weight averaging begins, where the recipe has it. head_seed: of weights
    that the checkpoint has not; none: the recipe's seed. Checkpoints go to `work_dir/checkpoints` and
    `work_dir/averaging`; with `resume` training goes on from the last of them. Raises
    MemoryShortageError before anything is trained, BackboneError for a checkpoint that cannot be used.
    """
    set_seed(recipe.seed if head_seed is None else head_seed)
    model = load_model(recipe, labels)
    settings = recipe.finetune
    length = recipe.span.window_tokens if recipe.model.problem_type == "span_qa" else settings.tokens_max
    check_memory(model, settings.batch_examples, length, bf16=in_bfloat16(settings.bf16))
    checkpoints = work_dir / "checkpoints"
    first = train if settings.average is None else train_first
    trainer = GuidedTrainer(
        recipe=recipe,
        model=model,
        args=training_arguments(recipe, checkpoints, evaluate=bool(holdout), progress=progress, examples=len(first)),
        train_dataset=first,
        eval_dataset=holdout or None,
        data_collator=guided_collator(tokenizer, settings.pad_multiple),
        processing_class=tokenizer,
        compute_metrics=selection_metric(recipe.model.problem_type),
    )
    report_to(trainer, "finetune", say, progress=progress)
    history: list[dict[str, Any]] = []
    if settings.epochs > 0:
        last = get_last_checkpoint(str(checkpoints)) if resume and checkpoints.is_dir() else None
        trainer.train(resume_from_checkpoint=last)
        history = trainer.state.log_history
    if settings.average is not None:
        history = history + average_weights(
            recipe,
            settings.average,
            model=model,
            tokenizer=tokenizer,
            train=train,
            folder=work_dir / "averaging",
            resume=resume,
            progress=progress,
            say=say,
        )
    return save_teacher(model, tokenizer, history, work_dir / TEACHER)


def training_arguments(
    recipe: Recipe, folder: Path, *, evaluate: bool, progress: bool, examples: int
) -> TrainingArguments:
    """The Trainer's arguments for the teacher."""
    return section_arguments(
        recipe,
        recipe.finetune,
        folder,
        evaluate=evaluate,
        progress=progress,
        examples=examples,
        bf16=in_bfloat16(recipe.finetune.bf16),
        load_best_model_at_end=evaluate and recipe.finetune.average is None,  # averaging goes on from the end
        metric_for_best_model="accuracy" if _chosen_by_accuracy(recipe) else "loss",
    )


def _chosen_by_accuracy(recipe: Recipe) -> bool:
    """Trained on labels alone a model grows surer than it is right, and its log loss rises while it still learns.

    One that follows a mentor doesn't; then the loss tells checkpoints apart where accuracy, of a few hundred, can't.
    """
    return recipe.model.problem_type == "single_label_classification" and recipe.mentor is None


def save_teacher(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, history: list[dict[str, Any]], folder: Path
) -> Path:
    """Write model, tokenizer and training history to `folder`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / HISTORY_FILE).write_text(json.dumps(history, indent=1), encoding="utf-8")
    return folder
