"""Quantisation-aware training with the FP32 model as teacher, on transformers' Trainer (checkpoints, resume, seeds)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from intbert.builder.batches import ShufflingTrainer
from intbert.builder.quantise.modules import QuantisedModel

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, kw_only=True)
class DistillationSettings:
    """Weights of the losses and the treatment of the 8-bit steps."""

    task_weight: float = 0.0  # the labels; on training data the teacher tells more
    logit_weight: float = 1.0  # to the teacher's logits, see `logit_loss`
    hidden_weight: float = 1.0  # MSE to the teacher's hidden states over their power, mean of all layers
    temperature: float = 2.0
    step_learning_rate_factor: float = (
        10.0  # steps are learned as logarithms to base 2 and need larger steps than weights
    )
    bf16: bool = True  # the teacher computes in bfloat16
    frozen_fraction: float = 0.25  # last part of the training, in which the 8-bit steps no longer move


class FreezeRanges(TrainerCallback):
    """Stops training the steps when the last `fraction` of the training begins."""

    def __init__(self, model: QuantisedModel, fraction: float) -> None:
        self._model, self._fraction = model, fraction

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Trainer's hook."""
        if state.global_step >= (1 - self._fraction) * state.max_steps:
            self._model.freeze_ranges()


class DistillationTrainer(ShufflingTrainer):
    """Trainer of a calibrated `QuantisedModel`, or of a `Q8Bert`; in evaluation the loss is the task's alone.

    Give `remove_unused_columns=False` and `label_names` in the arguments; `bf16` there changes nothing, since the model
    chooses its own arithmetic. problem_type: as in the recipe.
    """

    def __init__(
        self, *, teacher: nn.Module, problem_type: str, settings: DistillationSettings | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._settings, self._problem_type = settings or DistillationSettings(), problem_type
        self._teacher = teacher.to(self.args.device).eval()
        self.model_accepts_loss_kwargs = False
        if isinstance(self.model, QuantisedModel):
            self.add_callback(FreezeRanges(self.model, self._settings.frozen_fraction))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW: decay on matrices only, a larger learning rate for steps."""
        if self.optimizer is None:
            named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]  # type: ignore[union-attr]
            gains = [p for name, p in named if name.endswith(".gain")]
            matrices = [p for name, p in named if p.dim() > 1]
            vectors = [p for name, p in named if p.dim() == 1 and not name.endswith(".gain")]
            rate = self.args.learning_rate
            groups = [
                {"params": matrices, "weight_decay": self.args.weight_decay, "lr": rate},
                {"params": vectors, "weight_decay": 0.0, "lr": rate},
                {"params": gains, "weight_decay": 0.0, "lr": rate * self._settings.step_learning_rate_factor},
            ]
            self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, fused=True)
        return self.optimizer

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Trainer's hook: task loss, and in training distillation."""
        fields = {name: inputs[name] for name in MODEL_INPUTS if name in inputs}
        distil = model.training
        outputs = model(**fields, output_hidden_states=distil and self._settings.hidden_weight > 0)
        mask = fields["attention_mask"].bool()
        logits = logits_of(outputs, mask)
        loss = task_loss(logits, inputs, self._problem_type)
        if distil:
            loss = self._settings.task_weight * loss
            if self._settings.logit_weight > 0 or self._settings.hidden_weight > 0:
                loss = loss + self._distillation(fields, outputs, logits, mask)
        outputs.hidden_states = None
        return (loss, outputs) if return_outputs else loss

    def _distillation(self, fields: dict[str, Tensor], outputs: Any, logits: list[Tensor], mask: Tensor) -> Tensor:
        settings = self._settings
        with torch.no_grad(), torch.autocast(mask.device.type, torch.bfloat16, enabled=settings.bf16):
            taught = self._teacher(**fields, output_hidden_states=outputs.hidden_states is not None)
        loss = logits[0].new_zeros(())
        for student, teacher in zip(logits, logits_of(taught, mask), strict=True):
            loss = loss + settings.logit_weight / len(logits) * logit_loss(
                student, teacher.float(), self._problem_type, settings.temperature
            )
        if outputs.hidden_states is not None:
            loss = loss + settings.hidden_weight * hidden_loss(outputs.hidden_states, taught.hidden_states, mask)
        return loss


def task_loss(logits: list[Tensor], inputs: dict[str, Any], problem_type: str) -> Tensor:
    """Cross entropy, binary cross entropy or squared error, as Hugging Face's heads compute it."""
    if problem_type == "span_qa":
        start, end = (
            functional.cross_entropy(part, inputs[f"{name}_positions"])
            for part, name in zip(logits, ("start", "end"), strict=True)
        )
        return (start + end) / 2
    if problem_type == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(logits[0], inputs["labels"].float())
    if problem_type == "regression":
        return functional.mse_loss(logits[0].squeeze(-1), inputs["labels"].float().view(-1))
    return functional.cross_entropy(logits[0], inputs["labels"])


def logit_loss(student: Tensor, teacher: Tensor, problem_type: str, temperature: float) -> Tensor:
    """KL at `temperature` between span distributions; between classes plus the squared error over the teacher's power.

    KL alone is blind to the scale of confident logits. MSE where the outputs are no distribution.
    """
    if problem_type in ("multi_label_classification", "regression"):
        return functional.mse_loss(student, teacher)
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=-1)
    loss = functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2
    if problem_type == "span_qa":
        return loss
    return loss + functional.mse_loss(student, teacher) / teacher.square().mean()


def hidden_loss(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """Mean over layers of squared error over the teacher's power, unpadded tokens only."""
    losses = []
    for ours, theirs in zip(student, teacher, strict=True):
        expected = theirs.float()[mask]
        losses.append((ours[mask] - expected).square().mean() / expected.square().mean())
    return torch.stack(losses).mean()


def logits_of(outputs: Any, mask: Tensor) -> list[Tensor]:
    """One tensor of logits, or two of span logits with padding far below everything."""
    if not hasattr(outputs, "start_logits"):
        return [outputs.logits.float()]
    return [part.float().masked_fill(~mask, -1e4) for part in (outputs.start_logits, outputs.end_logits)]
