"""Calibration: real activation ranges of a float model on real texts, and the scales that cost least.

Ranges that only saturate (16-bit residual, residual sums, GELU input) come from maxima; 8-bit scales from a search for
the least error of the linear layer that reads them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from intbert.arithmetic.bounds import GELU_RANGE_SHIFT_MAX
from intbert.arithmetic.gelu import UNITS_PER_ONE
from intbert.builder.families import pooler_activation, with_pooler_activation
from intbert.builder.quantise.export import FINER, RELU_GUARD_BITS, embedding_sum_scale, realise, sum_scale
from intbert.builder.quantise.modules import QuantisedModel
from intbert.builder.quantise.observer import Batch, Observer, Site
from intbert.builder.quantise.outliers import (
    EXECUTED,
    GELU_ZERO_POINT,
    Reading,
    TensorChoice,
    Tool,
    choose,
    head_steps,
    residual_choice,
)
from intbert.builder.quantise.real import RealModel, Vector, real_model, state_dict
from intbert.model.scales import LayerScales, NormScales, Scales, gelu_input_scale

RESIDUAL_MARGIN = 1.4
GELU_INPUT_MARGIN = 1.2
LEAST_RELU = 1e-6  # a head whose ReLU never lets anything through still needs a scale


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Scales that the integer engine executes, and what was measured to find them."""

    scales: Scales
    tensors: tuple[TensorChoice, ...]


def calibrated_scales(
    model: nn.Module, batches: Iterable[Batch], rows_max: int = 640, tools: tuple[Tool, ...] = EXECUTED
) -> Calibration:
    """Realised scales of a Hugging Face BERT with a classification or span QA head.

    batches: input_ids, attention_mask, token_type_ids, each (sequences, tokens); a few hundred texts do. rows_max:
    tokens kept of each tensor for the search of 8-bit scales. tools: what may be taken against outlier channels.
    """
    real = real_model(model.state_dict(), heads=int(model.config.num_attention_heads))  # type: ignore[union-attr,arg-type]
    observer = Observer.over(model, batches, rows_max)
    rectified = real.pooler is not None and pooler_activation(model.config) == "relu"
    search = _Search(real, observer, tools, rectified=rectified)
    scales = realise(real, search.scales())
    return Calibration(scales=scales, tensors=tuple(search.tensors))


def calibrate(
    model: QuantisedModel, batches: Iterable[Batch], rows_max: int = 640, tools: tuple[Tool, ...] = EXECUTED
) -> Calibration:
    """Find the scales of a quantised model on `batches`, at its current parameters, and set them."""
    pooled = model.pooler is not None
    float_model: nn.Module = with_pooler_activation(
        (BertForSequenceClassification if pooled else BertForQuestionAnswering)(model.config)
    )
    state = {name: torch.from_numpy(values) for name, values in state_dict(model.real()).items()}
    float_model.load_state_dict(state, strict=False)
    float_model.to(model.output.weight.device)
    calibration = calibrated_scales(float_model, batches, rows_max, tools)
    model.set_scales(calibration.scales)
    return calibration


class _Search:
    """The scales of every tensor in turn, with a record of how each was found."""

    def __init__(self, real: RealModel, seen: Observer, tools: tuple[Tool, ...], *, rectified: bool) -> None:
        self._real, self._seen, self._tools, self._rectified = real, seen, tools, rectified
        self.tensors: list[TensorChoice] = []

    def scales(self) -> Scales:
        """Wished scales, those of weights unset."""
        attention = [self._attention(index) for index in range(len(self._real.layers))]
        readers = [
            _Reader(weight=layer.qkv.weight, unit_max=torch.cat(found[:3]).repeat_interleave(self._head_dim) / 2)
            for layer, (*found, _) in zip(self._real.layers, attention, strict=True)
        ]
        output = self._real.output if self._real.pooler is None else self._real.pooler
        readers.append(_Reader(weight=output.weight))
        before = embedding_norm = self._norm("embedding_norm", "embeddings.LayerNorm", readers[0])
        layers: list[LayerScales] = []
        for index, (heads, following) in enumerate(zip(attention, readers[1:], strict=True)):
            layers.append(self._layer(index, heads, before, following))
            before = layers[-1].ffn_norm
        return Scales(
            embedding_sum=embedding_sum_scale(self._real),
            embedding_norm=embedding_norm,
            layers=tuple(layers),
            pooler_weight=None,
            logit=1.0,
            relu=self._relu(self._seen.inputs["classifier"]) if self._rectified else None,
        )

    @property
    def _head_dim(self) -> int:
        return self._real.channels // self._real.heads

    def _attention(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(a,) steps of query, key, value, context."""
        module, name = f"encoder.layer.{index}.attention", f"layers.{index}"
        query, key, value = (
            self._heads(f"{name}.{part}", self._seen.outputs[f"{module}.self.{part}"])
            for part in ("query", "key", "value")
        )
        return query, key, value, self._heads(f"{name}.context", self._seen.inputs[f"{module}.output.dense"])

    def _layer(
        self, index: int, heads: tuple[Tensor, Tensor, Tensor, Tensor], before: NormScales, following: "_Reader"
    ) -> LayerScales:
        layer, module, name = self._real.layers[index], f"encoder.layer.{index}", f"layers.{index}"
        inputs, outputs = self._seen.inputs, self._seen.outputs
        query, key, value, context = (_vector(steps) for steps in heads)
        ffn_input = _Reader(weight=layer.ffn_input.weight, unit_max=gelu_input_scale(GELU_RANGE_SHIFT_MAX) * FINER)
        attention_norm = self._norm(f"{name}.attention_norm", f"{module}.attention.output.LayerNorm", ffn_input)
        range_shift = gelu_range_shift(outputs[f"{module}.intermediate.dense"].largest())
        gelu_output, zero_point = self._gelu(
            f"{name}.gelu", inputs[f"{module}.output.dense"], layer.ffn_output.weight, gelu_input_scale(range_shift)
        )
        ffn_norm = self._norm(f"{name}.ffn_norm", f"{module}.output.LayerNorm", following)
        unset = query[:0]
        return LayerScales(
            qkv_weight=unset,
            query=query,
            key=key,
            value=value,
            context=context,
            attention_output_weight=unset,
            attention_sum=sum_scale(before.residual, inputs[f"{module}.attention.output.LayerNorm"].largest()),
            attention_norm=attention_norm,
            ffn_input_weight=unset,
            gelu_range_shift=range_shift,
            gelu_output=gelu_output,
            gelu_zero_point=zero_point,
            ffn_output_weight=unset,
            ffn_sum=sum_scale(attention_norm.residual, inputs[f"{module}.output.LayerNorm"].largest()),
            ffn_norm=ffn_norm,
        )

    def _norm(self, name: str, module: str, reader: "_Reader") -> NormScales:
        site = self._seen.outputs[module]
        residual = site.largest() * RESIDUAL_MARGIN / (2**15 - 1)
        reading = Reading(
            rows=site.sample(),
            absmax=site.absmax,
            weight=_tensor(reader.weight),
            finest=residual,
            unit_max=reader.unit_max,
        )
        view = choose(reading, self._tools)
        self.tensors.append(TensorChoice(tensor=f"{name}.view", tool=view.tool, errors=view.errors))
        self.tensors.append(residual_choice(f"{name}.residual", reading.rows, residual))
        return NormScales(residual=residual, view=_vector(view.step))

    def _gelu(self, name: str, site: Site, reader: Vector, finest: float) -> tuple[Vector, int]:
        reading = Reading(
            rows=site.sample(),
            absmax=site.absmax,
            weight=_tensor(reader),
            finest=finest,
            zero_point=GELU_ZERO_POINT,
        )
        choice = choose(reading, self._tools)
        self.tensors.append(TensorChoice(tensor=name, tool=choice.tool, errors=choice.errors))
        return _vector(choice.step), choice.zero_point or 0

    def _relu(self, site: Site) -> float:
        """One unit of the pooler's ReLU, shared by all channels as the output layer's weights share one scale."""
        reading = Reading(
            rows=site.sample(),
            absmax=site.absmax,
            weight=_tensor(self._real.output.weight),
            finest=max(site.largest(), LEAST_RELU) / 255 / 2**RELU_GUARD_BITS,
            zero_point=0,
        )
        choice = choose(reading, ("one_scale",))
        self.tensors.append(TensorChoice(tensor="head.relu", tool=choice.tool, errors=choice.errors))
        return float(choice.step[0])

    def _heads(self, name: str, site: Site) -> Tensor:
        step, choice = head_steps(name, site.sample(), self._real.heads)
        self.tensors.append(choice)
        return step


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """The matrix that reads a LayerNorm's view, and the coarsest unit that its accumulators may have."""

    weight: Vector
    unit_max: Tensor | float = torch.inf


def gelu_range_shift(largest: float) -> int:
    """The finest input scale 2^shift / 7632 that any channel's multiplier, down to 2^14, extends over `largest`.

    At least 1, so that a saturated negative input lies where GELU is already zero.
    """
    for shift in range(1, GELU_RANGE_SHIFT_MAX):
        if largest * GELU_INPUT_MARGIN <= 2.0**shift * 2**14 / UNITS_PER_ONE:
            return shift
    return GELU_RANGE_SHIFT_MAX


def _tensor(values: Vector) -> Tensor:
    return torch.from_numpy(values).float()


def _vector(values: Tensor) -> Vector:
    return values.double().numpy()
