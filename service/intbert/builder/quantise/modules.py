"""The quantised BERT that is trained: the float model's parameters in modules that imitate the integer forward pass.

Every 8-bit step is `base * 2^gain`: base from calibration, gain learned (LSQ). 16-bit roundings are omitted, since they
are far below the 8-bit ones; the exact integer twin, never this simulation, decides accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import QuestionAnsweringModelOutput, SequenceClassifierOutput

from intbert.builder.families import pooler_activation
from intbert.builder.quantise.export import LOG2_E, embedding_sum_scale, realise
from intbert.builder.quantise.fake_quantise import (
    IntegerAttention,
    QuantiseGelu,
    RoundRows,
    quantise_columns,
    quantise_weight,
)
from intbert.builder.quantise.real import RealLayer, RealLinear, RealModel, RealNorm, Vector, real_model
from intbert.model.scales import TANH_SCALE, LayerScales, NormScales, Scales


@dataclass(frozen=True, kw_only=True)
class QuantiseSettings:
    """How the quantised model is trained."""

    bf16: bool = True  # matrix products of 8-bit integers in bfloat16: exact operands, results rounded to 8 bits
    learn_steps: bool = True  # train the 8-bit steps with the weights
    train_embeddings: bool = False  # tables stay the teacher's: half of a small model's parameters need no optimiser


class Steps(nn.Module):
    """Steps of one activation: `base` (columns or heads,) from calibration times a learned power of two."""

    base: Tensor

    def __init__(self, count: int, *, gains: int, learned: bool) -> None:
        super().__init__()
        self.register_buffer("base", torch.ones(count))
        self.gain = nn.Parameter(torch.zeros(gains), requires_grad=learned)

    def forward(self, columns: int) -> tuple[Tensor, Tensor]:
        """(step, gain) of each of `columns` columns; the step is detached, the gain carries its gradient."""
        gain = self.gain.repeat_interleave(columns // len(self.gain))
        base = self.base.repeat_interleave(columns // len(self.base))
        return base * torch.exp2(gain.detach()), gain

    def values(self) -> Vector:
        """Calibrated steps times learned gains, float64."""
        gain = self.gain.detach().repeat_interleave(len(self.base) // len(self.gain))
        return (self.base.double() * torch.exp2(gain.double())).cpu().numpy()

    def set(self, values: Vector) -> None:
        """Calibrate."""
        self.base.copy_(torch.from_numpy(values))
        nn.init.zeros_(self.gain)


class Norm(nn.Module):
    """LayerNorm and the 8-bit view of its output."""

    residual: Tensor

    def __init__(self, real: RealNorm, settings: QuantiseSettings) -> None:
        super().__init__()
        self.gamma, self.beta = _parameter(real.gamma), _parameter(real.beta)
        self.view = Steps(len(real.gamma), gains=1, learned=settings.learn_steps)
        self.register_buffer("residual", torch.ones((), dtype=torch.float64))
        self._dtype = torch.bfloat16 if settings.bf16 else torch.float32

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(output, its integers, their steps) of h (..., n)."""
        x = functional.layer_norm(h, self.gamma.shape, self.gamma, self.beta)
        step, gain = self.view(x.shape[-1])
        return x, quantise_columns(x, step.reciprocal(), torch.zeros_like(step), gain, self._dtype), step

    def real(self) -> RealNorm:
        """Parameters in float64."""
        return RealNorm(gamma=_array(self.gamma), beta=_array(self.beta))

    def scales(self) -> NormScales:
        """Current scales."""
        return NormScales(residual=float(self.residual), view=self.view.values())

    def set_scales(self, scales: NormScales) -> None:
        """Calibrate."""
        self.residual.fill_(scales.residual)
        self.view.set(scales.view)


class QuantisedLinear(nn.Module):
    """Weights per output channel in s8; the input's steps are folded into them before they are rounded."""

    def __init__(self, real: RealLinear) -> None:
        super().__init__()
        self.weight, self.bias = _parameter(real.weight), _parameter(real.bias)

    def forward(self, integers: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """(accumulator without bias (..., outputs), its scale (outputs,))."""
        weight, scale = quantise_weight(self.weight, step, integers.dtype)
        return functional.linear(integers, weight), scale

    def real(self) -> RealLinear:
        """Parameters in float64."""
        return RealLinear(weight=_array(self.weight), bias=_array(self.bias))


class QuantisedAttention(nn.Module):
    """Q, K, V in s8, integer softmax, context in s8."""

    def __init__(self, qkv: RealLinear, heads: int, settings: QuantiseSettings) -> None:
        super().__init__()
        self.heads, self.channels = heads, qkv.weight.shape[1]
        self.qkv = QuantisedLinear(qkv)
        self.steps = Steps(3 * heads, gains=3 * heads, learned=settings.learn_steps)
        self.context = Steps(heads, gains=heads, learned=settings.learn_steps)

    def forward(self, integers: Tensor, step: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """(context integers (sequences, tokens, n), their steps)."""
        acc, scale = self.qkv(integers, step)
        qkv_step, qkv_gain = self.steps(3 * self.channels)
        qkv = quantise_columns(acc, scale / qkv_step, self.qkv.bias / qkv_step, qkv_gain, torch.float32)
        sequences, tokens, _ = qkv.shape
        split = qkv.view(sequences, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()
        query, key, value = split.unbind(0)
        head_step = (self.steps.base * torch.exp2(self.steps.gain.detach())).view(3, self.heads)
        log2_unit = head_step[0] * head_step[1] * (LOG2_E / query.shape[-1] ** 0.5)
        context = IntegerAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, log2_unit.repeat(sequences)[:, None, None], padding
        )
        context = context.view(sequences, self.heads, tokens, -1).transpose(1, 2).reshape(sequences, tokens, -1)
        step, gain = self.context(self.channels)
        factor = qkv_step[2 * self.channels :] / step
        return quantise_columns(context, factor, torch.zeros_like(step), gain, integers.dtype), step


class QuantisedLayer(nn.Module):
    """One encoder layer."""

    zero_point: Tensor
    range_shift: Tensor
    sums: Tensor

    def __init__(self, real: RealLayer, heads: int, settings: QuantiseSettings) -> None:
        super().__init__()
        self.attention = QuantisedAttention(real.qkv, heads, settings)
        self.attention_output = QuantisedLinear(real.attention_output)
        self.attention_norm = Norm(real.attention_norm, settings)
        self.ffn_input = QuantisedLinear(real.ffn_input)
        self.gelu = Steps(len(real.ffn_input.bias), gains=1, learned=settings.learn_steps)
        self.ffn_output = QuantisedLinear(real.ffn_output)
        self.ffn_norm = Norm(real.ffn_norm, settings)
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32))
        self.register_buffer("range_shift", torch.zeros((), dtype=torch.int32))
        self.register_buffer("sums", torch.ones(2, dtype=torch.float64))

    def forward(
        self, x: Tensor, integers: Tensor, step: Tensor, padding: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Residual, its integers and their steps, in and out."""
        acc, scale = self.attention_output(*self.attention(integers, step, padding))
        x, integers, step = self.attention_norm(_residual(x, acc, scale, self.attention_output.bias))
        acc, scale = self.ffn_input(integers, step)
        gelu_step, gain = self.gelu(acc.shape[-1])
        integers = QuantiseGelu.apply(  # type: ignore[no-untyped-call]
            acc, scale, self.ffn_input.bias, gelu_step, gain, int(self.zero_point)
        )
        acc, scale = self.ffn_output(integers, gelu_step)
        result: tuple[Tensor, Tensor, Tensor] = self.ffn_norm(_residual(x, acc, scale, self.ffn_output.bias))
        return result

    def real(self) -> RealLayer:
        """Parameters in float64."""
        return RealLayer(
            qkv=self.attention.qkv.real(),
            attention_output=self.attention_output.real(),
            attention_norm=self.attention_norm.real(),
            ffn_input=self.ffn_input.real(),
            ffn_output=self.ffn_output.real(),
            ffn_norm=self.ffn_norm.real(),
        )

    def scales(self) -> LayerScales:
        """Current scales, those of weights unset."""
        query, key, value = np.split(self.attention.steps.values(), 3)
        unset = query[:0]
        return LayerScales(
            qkv_weight=unset,
            query=query,
            key=key,
            value=value,
            context=self.attention.context.values(),
            attention_output_weight=unset,
            attention_sum=float(self.sums[0]),
            attention_norm=self.attention_norm.scales(),
            ffn_input_weight=unset,
            gelu_range_shift=int(self.range_shift),
            gelu_output=self.gelu.values(),
            gelu_zero_point=int(self.zero_point),
            ffn_output_weight=unset,
            ffn_sum=float(self.sums[1]),
            ffn_norm=self.ffn_norm.scales(),
        )

    def set_scales(self, scales: LayerScales) -> None:
        """Calibrate."""
        self.attention.steps.set(np.concatenate([scales.query, scales.key, scales.value]))
        self.attention.context.set(scales.context)
        self.gelu.set(scales.gelu_output)
        self.attention_norm.set_scales(scales.attention_norm)
        self.ffn_norm.set_scales(scales.ffn_norm)
        self.zero_point.fill_(scales.gelu_zero_point)
        self.range_shift.fill_(scales.gelu_range_shift)
        self.sums.copy_(torch.tensor([scales.attention_sum, scales.ffn_sum], dtype=torch.float64))


class QuantisedModel(nn.Module):
    """BertForSequenceClassification or BertForQuestionAnswering, quantised. Same inputs and outputs as theirs."""

    calibrated: Tensor

    def __init__(self, real: RealModel, config: Any, settings: QuantiseSettings) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        self.heads, self.position_offset = real.heads, real.position_offset
        learn = settings.train_embeddings
        self.word = _parameter(real.word, learn)
        self.position = _parameter(real.position, learn)
        self.token_type = _parameter(real.token_type, learn)
        self.embedding_norm = Norm(real.embedding_norm, settings)
        self.layers = nn.ModuleList(QuantisedLayer(layer, real.heads, settings) for layer in real.layers)
        self.pooler = None if real.pooler is None else QuantisedLinear(real.pooler)
        rectified = real.pooler is not None and pooler_activation(config) == "relu"
        self.relu = Steps(1, gains=1, learned=settings.learn_steps) if rectified else None
        self.output = QuantisedLinear(real.output)
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool))

    @classmethod
    def from_teacher(cls, teacher: nn.Module, settings: QuantiseSettings | None = None) -> Self:
        """A quantised copy of a Hugging Face BERT; `calibrate` must follow. ValueError for another architecture."""
        config: Any = teacher.config
        real = real_model(teacher.state_dict(), heads=int(config.num_attention_heads))
        return cls(real, config, settings or QuantiseSettings())

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        **_: Any,
    ) -> SequenceClassifierOutput | QuestionAnsweringModelOutput:
        """Logits (sequences, labels), or start and end logits (sequences, tokens); hidden states: layers + 1, float32.

        Inputs (sequences, tokens); `labels` and other keywords are ignored, since the trainer computes the loss.
        """
        if not bool(self.calibrated):
            raise RuntimeError("the quantised model has no ranges yet; call calibrate(model, batches) first")
        with torch.autocast(
            input_ids.device.type, enabled=False
        ):  # 8-bit integers, but not their sums, are exact in bf16
            logits, states = self._logits(input_ids, attention_mask, token_type_ids, output_hidden_states)
        if self.pooler is None:
            start, end = logits.unbind(-1)
            return QuestionAnsweringModelOutput(start_logits=start, end_logits=end, hidden_states=states)
        return SequenceClassifierOutput(logits=logits, hidden_states=states)

    def _logits(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None, keep_states: bool
    ) -> tuple[Tensor, Any]:
        padding = None
        if attention_mask is not None and not bool(attention_mask.all()):
            padding = ~attention_mask.bool().repeat_interleave(self.heads, dim=0)[:, None]
        x, integers, step = self.embedding_norm(self._embed(input_ids, token_type_ids))
        hidden = [x]
        for layer in self.layers:
            x, integers, step = layer(x, integers, step, padding)
            hidden.append(x)
        return self._head(integers, step), tuple(hidden) if keep_states else None

    def real(self) -> RealModel:
        """Parameters in float64."""
        return RealModel(
            heads=self.heads,
            position_offset=self.position_offset,
            word=_array(self.word),
            position=_array(self.position),
            token_type=_array(self.token_type),
            embedding_norm=self.embedding_norm.real(),
            layers=tuple(layer.real() for layer in self._layers()),
            pooler=None if self.pooler is None else self.pooler.real(),
            output=self.output.real(),
        )

    def scales(self) -> Scales:
        """Realised scales of the current parameters and steps."""
        real = self.real()
        wished = Scales(
            embedding_sum=embedding_sum_scale(real),
            embedding_norm=self.embedding_norm.scales(),
            layers=tuple(layer.scales() for layer in self._layers()),
            pooler_weight=None,
            logit=1.0,
            relu=None if self.relu is None else float(self.relu.values()[0]),
        )
        return realise(real, wished)

    def set_scales(self, scales: Scales) -> None:
        """Take calibrated scales."""
        self.embedding_norm.set_scales(scales.embedding_norm)
        for layer, layer_scales in zip(self._layers(), scales.layers, strict=True):
            layer.set_scales(layer_scales)
        if self.relu is not None:
            self.relu.set(np.asarray([scales.pooled]))
        self.calibrated.fill_(value=1)

    def gains(self) -> list[nn.Parameter]:
        """The learned steps."""
        return [module.gain for module in self.modules() if isinstance(module, Steps)]

    def freeze_ranges(self) -> None:
        """Stop training the steps."""
        for gain in self.gains():
            gain.requires_grad = False
            gain.grad = None

    def _layers(self) -> Sequence[QuantisedLayer]:
        return [layer for layer in self.layers if isinstance(layer, QuantisedLayer)]

    def _embed(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = torch.arange(input_ids.shape[1], device=input_ids.device) + self.position_offset
        word: Tensor = RoundRows.apply(functional.embedding(input_ids, self.word))  # type: ignore[no-untyped-call]
        return word + functional.embedding(positions, self.position) + functional.embedding(types, self.token_type)

    def _head(self, integers: Tensor, step: Tensor) -> Tensor:
        """Output layer with one weight scale a tensor, in float32."""
        if self.pooler is not None:
            acc, scale = self.pooler(integers[:, 0], step)
            integers, step = self._activate(torch.addcmul(self.pooler.bias, acc.float(), scale))
        folded = (self.output.weight * step).flatten()[None]
        weight, scale = quantise_weight(folded, torch.ones_like(folded[0]), torch.float32)
        return functional.linear(integers.float(), weight.view_as(self.output.weight)) * scale + self.output.bias

    def _activate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(integers of tanh or ReLU, their steps) of the pooler's outputs (sequences, n)."""
        if self.relu is None:
            step = torch.full((x.shape[-1],), TANH_SCALE, device=x.device)
            none = torch.zeros_like(step)
            return quantise_columns(torch.tanh(x), step.reciprocal(), none, none, torch.float32), step
        step, gain = self.relu(x.shape[-1])
        learned = step * torch.exp2(gain - gain.detach())
        inside = (x / learned).clamp(0, 255)
        integers = inside + (inside.round() - inside).detach()
        return integers * learned / step, step


def _residual(x: Tensor, acc: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return torch.addcmul(x, acc.float(), scale) + bias


def _parameter(values: Vector, learned: bool = True) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values).float(), requires_grad=learned)


def _array(parameter: Tensor) -> Vector:
    return parameter.detach().double().cpu().numpy()
