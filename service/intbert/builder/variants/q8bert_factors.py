"""Factors against outlier channels for `q8bert`, which its paper has not: powers of two, found before training.

What a matrix reads is divided by its channel's factor and rounded after that; the matrix holds its columns multiplied
by it. Without rounding nothing changes. With it a channel twenty times as large as the rest no longer sets the step of
all others: the range is shared between the tensor and the weight, as SmoothQuant does (Xiao et al. 2023, equation 4).
They are of most use beside a weight scale for each output: one for all leaves the multiplied columns little room.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from intbert.builder.quantise.observer import Batch, Observer, Site
from intbert.builder.quantise.outliers import smoothed_shapes
from intbert.builder.variants.q8bert_modules import (
    ACTIVATION_MAX,
    SMALLEST_STEP,
    WeightScales,
    weight_on_grid,
    weight_step,
)
from intbert.builder.variants.q8bert_sites import input_site

ROWS_MAX = 640  # tokens kept of each tensor


def channel_factors(teacher: PreTrainedModel, batches: Iterable[Batch], scales: WeightScales) -> Mapping[str, Tensor]:
    """Linear layer -> factors (inputs,); one for all layers that read the same tensor.

    batches: input_ids, attention_mask, token_type_ids, each (sequences, tokens); a few hundred texts do.
    """
    observer = Observer.over(teacher, batches, ROWS_MAX)
    readers: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, module in teacher.named_modules():
        if isinstance(module, nn.Linear):
            site = input_site(name, int(teacher.config.num_hidden_layers))
            readers[site][name] = module.weight.detach().float()
    found: dict[str, Tensor] = {}
    for weights in readers.values():
        seen = observer.inputs[next(iter(weights)).removeprefix("bert.")]
        found |= dict.fromkeys(weights, best_factors(seen, list(weights.values()), scales))
    return found


def best_factors(seen: Site, weights: Sequence[Tensor], scales: WeightScales) -> Tensor:
    """(inputs,) those with the least error of all products, tensor and weights (outputs, inputs) rounded; or all 1."""
    floor = seen.largest() * 1e-4
    activation = seen.absmax.clamp_min(floor if floor > 0 else 1.0)
    relative = torch.cat([weight / weight_step(weight) for weight in weights])
    shapes = [torch.ones_like(activation), *smoothed_shapes(activation, relative)]
    candidates = [torch.exp2((shape / shape.median()).log2().round()) for shape in shapes]
    rows = seen.sample()
    expected = [rows @ weight.T for weight in weights]

    def squared_error(factors: Tensor) -> float:
        step = (seen.absmax / factors).max().clamp_min(SMALLEST_STEP) / ACTIVATION_MAX
        rounded = (rows / factors / step).round() * step
        products = (rounded @ weight_on_grid(weight * factors, scales).T for weight in weights)
        return sum(float((product - exact).square().sum()) for product, exact in zip(products, expected, strict=True))

    return min(candidates, key=squared_error)
