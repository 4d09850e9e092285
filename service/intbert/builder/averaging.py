"""Stochastic weight averaging: training goes on at a constant rate, and the mean of the weights is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from intbert.builder.features import Feature, padding_collator
from intbert.builder.recipe import AverageSection, Recipe
from intbert.builder.training_log import report_to

WARMUP_STEPS = 50
LOG_STEPS = 50


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
    progress: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train `model` on and leave the mean of its weights in it; returns the Trainer's log. Not resumable."""
    settings = recipe.finetune
    mean = MeanOfWeights(model, section.every_steps)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=section.epochs,
            per_device_train_batch_size=settings.batch_examples,
            learning_rate=section.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARMUP_STEPS,
            weight_decay=settings.weight_decay,
            seed=recipe.seed + 1,
            data_seed=recipe.seed + 1,
            bf16=settings.bf16,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            save_strategy="no",
            logging_steps=LOG_STEPS,
            disable_tqdm=not progress,
            report_to="none",
        ),
        train_dataset=train,
        data_collator=padding_collator(tokenizer, settings.pad_multiple),
        processing_class=tokenizer,
        callbacks=[mean],
    )
    report_to(trainer, "average", say, progress=progress)
    trainer.train()
    mean.put()
    say(f"average: mean of {mean.count} weights")
    return trainer.state.log_history
