"""Q8BERT's quantised layers (Zafrir et al. 2019, sections 2.1 and 2.2), put in the place of a model's own for training.

Symmetric, one scale a tensor: weights and embedding tables by their present maximum, activations by a moving average of
the maximum of every training batch. Softmax, GELU, LayerNorm, residual sums and the products of attention stay FP32.

Which outputs are rounded again is not in the paper. The authors' configuration rounds those of query and key alone
(attention multiplies them) and leaves the others in FP32, which is where they go: sums, GELU, tanh.

A matrix may have a scale for each output instead, and its inputs factors (`q8bert_factors`): neither is in the paper.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

WEIGHT_MAX = 127
# -128 is allowed to activations alone: ONNX has no narrower saturation, and the step is that of the published +-127
ACTIVATION_MIN, ACTIVATION_MAX = -128, 127
BIAS_MAX = 2**31 - 1
SMALLEST_STEP = 1e-12
Outputs = Literal["query_key", "all"]
WeightScales = Literal["tensor", "output"]


@dataclass(frozen=True, kw_only=True)
class Q8Settings:
    """What is rounded, and how ranges are found."""

    ema_decay: float = 0.9999  # of the range of an activation, once a step; the first batch sets it
    rounded_outputs: Outputs = "query_key"  # of linear layers
    weight_scales: WeightScales = "tensor"  # of matrices: one, or one for each output
    dropout: float = 0.1  # of hidden states
    bf16: bool = True  # products in training: integers of 8 bits are exact in bfloat16, their sums are rounded


class RoundToStep(torch.autograd.Function):
    """(x, step ()) -> integers clamp(round(x / step)) in `dtype`; gradients pass unclipped (straight through)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(step)
        ctx.dtype = x.dtype
        return (x.detach() / step).round_().clamp_(low, high).to(dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (step,) = ctx.saved_tensors
        return (grad.float() / step).to(ctx.dtype), None, None, None, None


def weight_step(weight: Tensor, scales: WeightScales = "tensor") -> Tensor:
    """Step of a matrix or table: its largest magnitude over 127 (equation 3), (); or that of each row, (rows, 1)."""
    magnitudes = weight.detach().abs()
    largest = magnitudes.max() if scales == "tensor" else magnitudes.amax(dim=1, keepdim=True)
    return (largest / WEIGHT_MAX).clamp_min(SMALLEST_STEP)


def round_weight(weight: Tensor, step: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers -127..127 of a matrix, or of some rows of a table, as `dtype`."""
    integers: Tensor = RoundToStep.apply(weight, step, -WEIGHT_MAX, WEIGHT_MAX, dtype)  # type: ignore[no-untyped-call]
    return integers


def weight_on_grid(weight: Tensor, scales: WeightScales) -> Tensor:
    """The real values that a matrix has after rounding."""
    step = weight_step(weight, scales)
    return round_weight(weight, step, weight.dtype) * step


class Texts:
    """Which positions of the present batch are unpadded, (sequences, tokens); all layers of a model share it."""

    def __init__(self) -> None:
        self.mask: Tensor | None = None


class ActivationRange(nn.Module):
    """Moving average of max |x| over unpadded tokens (equation 4); the first batch sets it, as in the authors' code."""

    largest: Tensor

    def __init__(self, decay: float, texts: Texts) -> None:
        super().__init__()
        self._decay, self._texts = decay, texts
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Integers of x (..., channels) as `dtype`; in training x enters the average first."""
        if self.training:
            self._see(x.detach())
        integers: Tensor = RoundToStep.apply(x, self.step(), ACTIVATION_MIN, ACTIVATION_MAX, dtype)  # type: ignore[no-untyped-call]
        return integers

    def step(self) -> Tensor:
        """Real value of one integer, ()."""
        return (self.largest / ACTIVATION_MAX).clamp_min(SMALLEST_STEP)

    def _see(self, x: Tensor) -> None:
        rows = torch.linalg.vector_norm(x.float(), ord=torch.inf, dim=-1)
        if rows.dim() == 2 and self._texts.mask is not None:
            rows = rows.masked_fill(~self._texts.mask, 0)
        seen = rows.max()
        moved = torch.lerp(self.largest, seen, 1 - self._decay)
        self.largest.copy_(torch.where(self.largest > 0, moved, seen))


class Q8Linear(nn.Module):
    """Integers times integers, plus bias; the bias is FP32 in training and int32 in evaluation, as published."""

    factors: Tensor | None  # (inputs,) what x is divided by and the weight's columns are multiplied by; None: nothing

    def __init__(
        self,
        linear: nn.Linear,
        settings: Q8Settings,
        texts: Texts,
        *,
        round_output: bool,
        factors: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self._scales = settings.weight_scales
        # A tensor of its own, for a checkpoint's file refuses shared ones
        self.register_buffer("factors", None if factors is None else factors.clone())
        if factors is not None:
            self.weight.data.mul_(factors)
        self.input = ActivationRange(settings.ema_decay, texts)
        self.output = ActivationRange(settings.ema_decay, texts) if round_output else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs), float32."""
        dtype = torch.bfloat16 if torch.is_autocast_enabled(x.device.type) else torch.float32
        integers = self.input(x if self.factors is None else x / self.factors, dtype)
        sums = functional.linear(integers, round_weight(self.weight, self.step(), dtype))
        scale = self.scale()
        y = sums.float() * scale + (self.bias if self.training else self.bias_integers() * scale)
        return y if self.output is None else self.output(y, torch.float32) * self.output.step()

    def bias_integers(self) -> Tensor:
        """The bias in units of weight step times input step, int32 values as float32, (outputs,)."""
        return (self.bias.detach() / self.scale()).round().clamp(-BIAS_MAX, BIAS_MAX)

    def step(self) -> Tensor:
        """Real value of one integer of the weight, (), or (outputs, 1)."""
        return weight_step(self.weight, self._scales)

    def scale(self) -> Tensor:
        """Real value of one unit of the sums, (), or (outputs,)."""
        step = self.step()
        return (step[:, 0] if step.dim() else step) * self.input.step()


class Q8Embedding(nn.Module):
    """Rows of a table in 8 bits."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.weight, self._padding_id = table.weight, table.padding_idx

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., channels), float32."""
        step = self.step()
        rows = functional.embedding(ids, self.weight, padding_idx=self._padding_id)
        return round_weight(rows, step, torch.float32) * step

    def step(self) -> Tensor:
        """Real value of one integer of the table, ()."""
        return weight_step(self.weight)


class Q8Bert(nn.Module):
    """A copy of a fine-tuned BERT with all linear layers and embedding tables in 8 bits. Train it a step before use.

    factors: linear layer -> factors of its inputs (`q8bert_factors`); layers not named have none.
    """

    def __init__(
        self, teacher: PreTrainedModel, settings: Q8Settings, factors: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self._bf16 = settings.bf16
        self._texts = Texts()
        self.model = copy.deepcopy(teacher)
        for name, module in self.model.named_modules():
            if isinstance(module, nn.Dropout) and not name.endswith("attention.self.dropout"):
                module.p = settings.dropout
        for name, module in list(self.model.named_modules()):
            if isinstance(module, nn.Linear):
                rounds, scaled = _rounds(name, settings), (factors or {}).get(name)
                self._put(name, Q8Linear(module, settings, self._texts, round_output=rounds, factors=scaled))
            elif isinstance(module, nn.Embedding):
                self._put(name, Q8Embedding(module))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> Any:
        """Outputs of the Hugging Face model, for padded inputs (sequences, tokens)."""
        self._texts.mask = attention_mask.bool()
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self._bf16 and self.training):
            return self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                output_hidden_states=output_hidden_states,
            )

    def linears(self) -> Mapping[str, Q8Linear]:
        """The linear layers by the names of the Hugging Face model."""
        return {name: module for name, module in self.model.named_modules() if isinstance(module, Q8Linear)}

    def _put(self, name: str, module: nn.Module) -> None:
        parent, _, attribute = name.rpartition(".")
        setattr(self.model.get_submodule(parent), attribute, module)


def _rounds(name: str, settings: Q8Settings) -> bool:
    return settings.rounded_outputs == "all" or name.rpartition(".")[2] in ("query", "key")
