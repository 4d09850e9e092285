"""Stochastic weight averaging: training goes on at a constant rate, and the mean of the weights is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from intbert.builder.bfloat16 import in_bfloat16
from intbert.builder.features import Feature
from intbert.builder.guided import GuidedTrainer, guided_collator
from intbert.builder.recipe import AverageSection, Recipe
from intbert.builder.training_arguments import section_arguments
from intbert.builder.training_log import report_to

MEAN_FILE = "mean.pt"
WARMUP_STEPS = 50


class MeanOfWeights(TrainerCallback):
    """Running mean of a model's parameters over the steps of a training."""

    def __init__(self, model: nn.Module, every_steps: int) -> None:
        self._model, self._every_steps = model, every_steps
        self._mean: list[Tensor] = []
        self.count = 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Trainer's hook."""
        if state.global_step >= WARMUP_STEPS and state.global_step % self._every_steps == 0:
            self.take()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Trainer's hook: the mean goes beside the weights."""
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        torch.save({"count": self.count, "mean": self._mean}, folder / MEAN_FILE)

    def load(self, checkpoint: Path) -> None:
        """Go on from the mean in a checkpoint."""
        saved = torch.load(checkpoint / MEAN_FILE, weights_only=True)
        self.count, self._mean = saved["count"], saved["mean"]

    def take(self) -> None:
        """Let the present weights enter the mean."""
        self.count += 1
        if not self._mean:
            self._mean = [parameter.detach().clone() for parameter in self._model.parameters()]
        for mean, parameter in zip(self._mean, self._model.parameters(), strict=True):
            mean.lerp_(parameter.detach(), 1 / self.count)

    def put(self) -> None:
        """Replace the model's weights by the mean; nothing happens when it is empty."""
        with torch.no_grad():
            for mean, parameter in zip(self._mean, self._model.parameters(), strict=False):
                parameter.copy_(mean)


def average_weights(
    recipe: Recipe,
    section: AverageSection,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    train: Sequence[Feature],
    folder: Path,
    resume: bool,
    progress: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train `model` on and leave the mean of its weights in it; returns the Trainer's log.

    Checkpoints go to `folder`; with `resume` training goes on from the last of them.
    """
    settings = recipe.finetune
    mean = MeanOfWeights(model, section.every_steps)
    last = get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    if last is not None:
        mean.load(Path(last))
    trainer = GuidedTrainer(
        recipe=recipe,
        model=model,
        args=section_arguments(
            recipe.model_copy(update={"seed": recipe.seed + 1}),
            settings.model_copy(update={"epochs": section.epochs, "learning_rate": section.learning_rate}),
            folder,
            evaluate=False,
            progress=progress,
            examples=len(train),
            bf16=in_bfloat16(settings.bf16),
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARMUP_STEPS,
        ),
        train_dataset=train,
        data_collator=guided_collator(tokenizer, settings.pad_multiple),
        processing_class=tokenizer,
        callbacks=[mean],
    )
    report_to(trainer, "average", say, progress=progress)
    trainer.train(resume_from_checkpoint=last)
    mean.put()
    say(f"average: mean of {mean.count} weights")
    return trainer.state.log_history
