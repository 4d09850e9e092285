"""Calibration: real activation ranges of a float model on real texts, and the scales that cost least.

Ranges that only saturate (16-bit residual, residual sums, GELU input) come from maxima; 8-bit scales from a search for
the least error of the linear layer that reads them. Padding never enters a statistic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering, BertForSequenceClassification

from intbert.arithmetic.bounds import GELU_RANGE_SHIFT_MAX
from intbert.arithmetic.gelu import UNITS_PER_ONE
from intbert.builder.quantise.export import embedding_sum_scale, realise, sum_scale
from intbert.builder.quantise.modules import QuantisedModel
from intbert.builder.quantise.real import RealModel, Vector, real_model, state_dict
from intbert.model.scales import LayerScales, NormScales, Scales, gelu_input_scale

Batch = Mapping[str, Tensor]

RESIDUAL_MARGIN = 1.4
GELU_INPUT_MARGIN = 1.2
BUFFER = 16  # rows kept before thinning, in multiples of the rows searched with
ALPHAS = (0.4, 0.55, 0.7, 0.85, 1.0)
CLIPS = (1.0, 0.85, 0.7, 0.55, 0.4)
HEAD_CLIPS = tuple(1 - 0.04 * step for step in range(16))
ZERO_POINTS = (8, 16, 24, 32, 44, 60)


@dataclass(kw_only=True)
class Site:
    """What was seen of one tensor: the largest magnitude of each channel, and some rows."""

    rows_max: int
    absmax: Tensor
    rows: list[Tensor] = field(default_factory=list)

    def see(self, values: Tensor) -> None:
        """values: (tokens, channels), unpadded."""
        largest = values.abs().amax(dim=0)
        self.absmax = torch.maximum(self.absmax, largest)
        self.rows.append(values[:: -(-len(values) // self.rows_max)].clone())
        if sum(len(rows) for rows in self.rows) > BUFFER * self.rows_max:
            self.rows = [self.sample()]

    def sample(self) -> Tensor:
        """(rows, channels), at most rows_max, evenly spaced over what was kept."""
        rows = torch.cat(self.rows)
        return rows[:: -(-len(rows) // self.rows_max)]

    def largest(self) -> float:
        """Over all channels."""
        return float(self.absmax.max())


class Observer:
    """Forward hooks on a Hugging Face BERT that record the inputs and outputs of its linear layers and LayerNorms."""

    def __init__(self, model: nn.Module, rows_max: int) -> None:
        self._rows_max = rows_max
        self._mask: Tensor | None = None
        self.inputs: dict[str, Site] = {}
        self.outputs: dict[str, Site] = {}
        self._handles = [
            module.register_forward_hook(self._hook(name.removeprefix("bert.")))
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.LayerNorm)
        ]

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # torch's hook protocol is untyped
        def see(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            for sites, values in ((self.inputs, inputs[0]), (self.outputs, output)):
                if values.dim() == 3 and self._mask is not None:
                    site = sites.setdefault(
                        name, Site(rows_max=self._rows_max, absmax=values.new_zeros(values.shape[-1]))
                    )
                    site.see(values.detach().float()[self._mask])

        return see

    def run(self, model: nn.Module, batches: Iterable[Batch]) -> int:
        """Forward all batches; the number of tokens seen. Raises ValueError when there are none."""
        tokens = 0
        with torch.no_grad():
            for batch in batches:
                self._mask = batch["attention_mask"].bool()
                tokens += int(self._mask.sum())
                names = ("input_ids", "attention_mask", "token_type_ids")
                model(**{name: batch[name] for name in names if name in batch})
        if tokens == 0:
            raise ValueError("calibration needs at least one batch with one token")
        return tokens

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def calibrated_scales(model: nn.Module, batches: Iterable[Batch], rows_max: int = 640) -> Scales:
    """Realised scales of a Hugging Face BERT with a classification or span QA head.

    batches: input_ids, attention_mask, token_type_ids, each (sequences, tokens); a few hundred texts do. rows_max:
    tokens kept of each tensor for the search of 8-bit scales.
    """
    real = real_model(model.state_dict(), heads=int(model.config.num_attention_heads))  # type: ignore[union-attr,arg-type]
    observer = Observer(model, rows_max)
    training = model.training
    model.eval()
    try:
        observer.run(model, batches)
    finally:
        observer.close()
        model.train(training)
    return realise(real, _scales(real, observer))


def calibrate(model: QuantisedModel, batches: Iterable[Batch], rows_max: int = 640) -> None:
    """Find the scales of a quantised model on `batches`, at its current parameters, and set them."""
    pooled = model.pooler is not None
    float_model: nn.Module = (BertForSequenceClassification if pooled else BertForQuestionAnswering)(model.config)
    state = {name: torch.from_numpy(values) for name, values in state_dict(model.real()).items()}
    float_model.load_state_dict(state, strict=False)
    float_model.to(model.output.weight.device)
    model.set_scales(calibrated_scales(float_model, batches, rows_max))


def _scales(real: RealModel, seen: Observer) -> Scales:
    layers: list[LayerScales] = []
    first = real.layers[0].qkv.weight if real.layers else _last_reader(real)
    before = embedding_norm = _norm_scales(seen.outputs["embeddings.LayerNorm"], first)
    for index in range(len(real.layers)):
        following = real.layers[index + 1].qkv.weight if index + 1 < len(real.layers) else _last_reader(real)
        layers.append(_layer_scales(real, seen, index, before, following))
        before = layers[-1].ffn_norm
    return Scales(
        embedding_sum=embedding_sum_scale(real),
        embedding_norm=embedding_norm,
        layers=tuple(layers),
        pooler_weight=None,
        logit=1.0,
    )


def _last_reader(real: RealModel) -> Vector:
    return (real.output if real.pooler is None else real.pooler).weight


def _layer_scales(real: RealModel, seen: Observer, index: int, before: NormScales, following: Vector) -> LayerScales:
    layer, prefix = real.layers[index], f"encoder.layer.{index}"
    query, key, value = (
        head_scales(seen.outputs[f"{prefix}.attention.self.{part}"].sample(), real.heads)
        for part in ("query", "key", "value")
    )
    attention_norm = _norm_scales(seen.outputs[f"{prefix}.attention.output.LayerNorm"], layer.ffn_input.weight)
    ffn_norm = _norm_scales(seen.outputs[f"{prefix}.output.LayerNorm"], following)
    gelu_site = seen.inputs[f"{prefix}.output.dense"]
    range_shift = gelu_range_shift(seen.outputs[f"{prefix}.intermediate.dense"].largest())
    gelu_output, zero_point = search_gelu(gelu_site, _tensor(layer.ffn_output.weight), gelu_input_scale(range_shift))
    unset = query[:0]
    return LayerScales(
        qkv_weight=unset,
        query=query,
        key=key,
        value=value,
        context=head_scales(seen.inputs[f"{prefix}.attention.output.dense"].sample(), real.heads),
        attention_output_weight=unset,
        attention_sum=sum_scale(before.residual, seen.inputs[f"{prefix}.attention.output.LayerNorm"].largest()),
        attention_norm=attention_norm,
        ffn_input_weight=unset,
        gelu_range_shift=range_shift,
        gelu_output=gelu_output,
        gelu_zero_point=zero_point,
        ffn_output_weight=unset,
        ffn_sum=sum_scale(attention_norm.residual, seen.inputs[f"{prefix}.output.LayerNorm"].largest()),
        ffn_norm=ffn_norm,
    )


def gelu_range_shift(largest: float) -> int:
    """The finest input scale 2^shift / 7632 that any channel's multiplier, down to 2^14, extends over `largest`.

    At least 1, so that a saturated negative input lies where GELU is already zero.
    """
    for shift in range(1, GELU_RANGE_SHIFT_MAX):
        if largest * GELU_INPUT_MARGIN <= 2.0**shift * 2**14 / UNITS_PER_ONE:
            return shift
    return GELU_RANGE_SHIFT_MAX


def _norm_scales(site: Site, reader_weight: Vector) -> NormScales:
    residual = site.largest() * RESIDUAL_MARGIN / (2**15 - 1)
    return NormScales(residual=residual, view=search_view(site, _tensor(reader_weight), residual))


def head_scales(rows: Tensor, heads: int) -> Vector:
    """(a,) scales of s8 heads with the least mean squared error. rows: (tokens, channels)."""
    values = rows.view(len(rows), heads, -1).transpose(0, 1).reshape(heads, -1)
    largest = values.abs().amax(dim=1).clamp_min(1e-6) / 127
    best, best_error = largest, torch.full_like(largest, torch.inf)
    for clip in HEAD_CLIPS:
        step = (largest * clip)[:, None]
        error = ((values / step).round().clamp(-127, 127) * step - values).square().sum(dim=1)
        better = error < best_error
        best, best_error = torch.where(better, step[:, 0], best), torch.where(better, error, best_error)
    return _vector(best)


def search_view(site: Site, weight: Tensor, finest: float) -> Vector:
    """(n,) view scales with the least error of `weight`'s outputs: SmoothQuant's exponent and a clip, both searched."""
    rows = site.sample()
    expected = rows @ weight.T

    def error(step: Tensor) -> float:
        quantised = (rows / step).round().clamp(-127, 127)
        return float((quantised @ fake_weight(weight * step).T - expected).square().sum())

    steps = [(shape * clip / 127).clamp_min(finest) for shape in _shapes(site, weight) for clip in CLIPS]
    return _vector(min(steps, key=error))


def search_gelu(site: Site, weight: Tensor, finest: float) -> tuple[Vector, int]:
    """((i,) scales, zero point) of the u8 GELU output with the least error of `weight`'s outputs."""
    rows = site.sample()
    expected = rows @ weight.T

    def error(step: Tensor, zero_point: int) -> float:
        quantised = (rows / step).round().clamp(-zero_point, 255 - zero_point)
        return float((quantised @ fake_weight(weight * step).T - expected).square().sum())

    steps = [(shape * clip / 230).clamp_min(finest) for shape in _shapes(site, weight) for clip in CLIPS]
    best = min(steps, key=lambda step: error(step, 24))
    zero_point = min(ZERO_POINTS, key=lambda candidate: error(best, candidate))
    best = min((best * factor for factor in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)), key=lambda s: error(s, zero_point))
    return _vector(best.clamp_min(finest)), zero_point


def _shapes(site: Site, weight: Tensor) -> list[Tensor]:
    """Candidate ranges of the channels: activation^alpha / weight^(1 - alpha), scaled to contain every activation."""
    activation = site.absmax.clamp_min(float(site.absmax.max()) * 1e-4)
    columns = weight.abs().amax(dim=0).clamp_min(float(weight.abs().max()) * 1e-3)
    shapes = [activation**alpha / columns ** (1 - alpha) for alpha in ALPHAS]
    return [shape * (activation / shape).max() for shape in shapes]


def fake_weight(weight: Tensor) -> Tensor:
    """Weights rounded to s8, per output channel."""
    step = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
    return (weight / step).round() * step


def _tensor(values: Vector) -> Tensor:
    return torch.from_numpy(values).float()


def _vector(values: Tensor) -> Vector:
    return values.double().numpy()
