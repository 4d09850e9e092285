"""What each tensor's rounding costs: one tensor at a time is rounded as the program does it, everything else is float.

Tensors are named as in the program. Softmax, the GELU's input and the residual sums are left out: their integers are so
much finer than 8 bits that a change of one of them alone cannot be seen in the last hidden state.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from intbert.builder.quantise.outliers import fake_weight
from intbert.model.scales import LayerScales, NormScales, Scales

Batch = Mapping[str, Tensor]
Kind = Literal["activation", "residual", "weight"]
Change = Callable[[nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class TensorCost:
    """Relative RMS errors of the model's results when this tensor alone is rounded."""

    tensor: str
    kind: Kind
    hidden: float  # of the last hidden state, all tokens and channels
    logits: float

    def to_json(self) -> dict[str, Any]:
        """As card and report hold it."""
        return {
            "tensor": self.tensor,
            "kind": self.kind,
            "hidden": float(f"{self.hidden:.4g}"),
            "logits": float(f"{self.logits:.4g}"),
        }


@dataclass(frozen=True, kw_only=True)
class _Rounded:
    """One tensor and the place where it is rounded."""

    tensor: str
    kind: Kind
    modules: tuple[str, ...]  # whose input (activation), output (residual, heads) or weight it is
    change: Callable[[Tensor], Tensor]
    of_output: bool = False


def tensor_costs(model: nn.Module, scales: Scales, batches: Sequence[Batch]) -> list[TensorCost]:
    """Costs of every 8-bit tensor, every 16-bit residual and every weight matrix of a float BERT at a program's scales.

    batches: input_ids, attention_mask, token_type_ids, each (sequences, tokens); padding does not count.
    """
    model.eval()
    expected = _results(model, batches)
    costs = []
    for rounded in _tensors(model, scales):
        with _applied(model, rounded):
            hidden, logits = _results(model, batches)
        costs.append(
            TensorCost(
                tensor=rounded.tensor,
                kind=rounded.kind,
                hidden=_relative(hidden, expected[0]),
                logits=_relative(logits, expected[1]),
            )
        )
    return costs


def _tensors(model: nn.Module, scales: Scales) -> Iterator[_Rounded]:
    """All that are looked at, in the program's order."""
    names = dict(model.named_modules())
    layers = len(scales.layers)
    heads = [name for name in ("bert.pooler.dense", "qa_outputs") if name in names]
    readers = [tuple(f"{_module(index)}.attention.self.{part}" for part in PARTS) for index in range(layers)]
    readers.append((heads[0],))
    yield _weight("embedding.word", ("bert.embeddings.word_embeddings",), None)
    yield from _norm("embedding_norm", "bert.embeddings.LayerNorm", readers[0], scales.embedding_norm)
    before = scales.embedding_norm
    for index, layer in enumerate(scales.layers):
        yield from _layer(f"layers.{index}", _module(index), layer, before, readers[index], readers[index + 1])
        before = layer.ffn_norm
    last = "head.pooler" if "classifier" in names else "head.output"
    yield _weight(last, (heads[0],), before.view, one_scale=last == "head.output")
    if "classifier" in names:
        pooled = np.full(len(before.view), scales.pooled)
        change = _eight_bits(pooled) if scales.relu is None else _eight_bits(pooled, 0, 255)
        yield _Rounded(tensor="head.pooled", kind="activation", modules=("classifier",), change=change)
        yield _weight("head.output", ("classifier",), pooled, one_scale=True)


PARTS = ("query", "key", "value")


def _module(index: int) -> str:
    return f"bert.encoder.layer.{index}"


def _layer(
    name: str,
    module: str,
    scales: LayerScales,
    before: NormScales,
    readers: tuple[str, ...],
    following: tuple[str, ...],
) -> Iterator[_Rounded]:
    head_dim = len(before.view) // len(scales.context)
    context = np.repeat(scales.context, head_dim)
    yield _weight(f"{name}.qkv", readers, before.view)
    for reader, part in zip(readers, PARTS, strict=True):
        step = np.repeat(getattr(scales, part), head_dim)
        yield _Rounded(
            tensor=f"{name}.{part}", kind="activation", modules=(reader,), change=_eight_bits(step), of_output=True
        )
    output = f"{module}.attention.output.dense"
    yield _Rounded(tensor=f"{name}.context", kind="activation", modules=(output,), change=_eight_bits(context))
    yield _weight(f"{name}.attention_output", (output,), context)
    ffn_input = (f"{module}.intermediate.dense",)
    yield from _norm(f"{name}.attention_norm", f"{module}.attention.output.LayerNorm", ffn_input, scales.attention_norm)
    yield _weight(f"{name}.ffn_input", ffn_input, scales.attention_norm.view)
    ffn_output = (f"{module}.output.dense",)
    gelu = _eight_bits(scales.gelu_output, -scales.gelu_zero_point, 255 - scales.gelu_zero_point)
    yield _Rounded(tensor=f"{name}.gelu", kind="activation", modules=ffn_output, change=gelu)
    yield _weight(f"{name}.ffn_output", ffn_output, scales.gelu_output)
    yield from _norm(f"{name}.ffn_norm", f"{module}.output.LayerNorm", following, scales.ffn_norm)


def _norm(name: str, module: str, readers: tuple[str, ...], scales: NormScales) -> Iterator[_Rounded]:
    """The 8-bit view that matrices read, and the 16-bit residual that sums and the view come from."""
    yield _Rounded(tensor=f"{name}.view", kind="activation", modules=readers, change=_eight_bits(scales.view))

    def sixteen_bits(values: Tensor) -> Tensor:
        return (values / scales.residual).round().clamp(-(2**15), 2**15 - 1) * scales.residual

    yield _Rounded(tensor=f"{name}.residual", kind="residual", modules=(module,), change=sixteen_bits, of_output=True)


def _eight_bits(step: NDArray[np.float64], low: int = -127, high: int = 127) -> Callable[[Tensor], Tensor]:
    steps = torch.from_numpy(step).float()

    def change(values: Tensor) -> Tensor:
        unit = steps.to(values.device)
        return (values / unit).round().clamp(low, high) * unit

    return change


def _weight(
    name: str, modules: tuple[str, ...], folded: NDArray[np.float64] | None, *, one_scale: bool = False
) -> _Rounded:
    """A matrix in s8, a scale each row or one for all, after its input's scales were folded in."""
    steps = None if folded is None else torch.from_numpy(folded).float()

    def change(values: Tensor) -> Tensor:
        unit = torch.ones(()) if steps is None else steps.to(values.device)
        rounded = values * unit
        rounded = fake_weight(rounded.view(1, -1)).view_as(rounded) if one_scale else fake_weight(rounded)
        return rounded / unit

    return _Rounded(tensor=name, kind="weight", modules=modules, change=change)


@contextmanager
def _applied(model: nn.Module, rounded: _Rounded) -> Iterator[None]:
    """The model with one tensor rounded."""
    with ExitStack() as stack:
        for name in rounded.modules:
            module = model.get_submodule(name)
            if rounded.kind == "weight":
                weight: Any = module.weight
                kept = weight.detach().clone()
                weight.data.copy_(rounded.change(kept))
                stack.callback(weight.data.copy_, kept)
            elif rounded.of_output:
                handle = module.register_forward_hook(lambda _module, _inputs, output: rounded.change(output))
                stack.callback(handle.remove)
            else:
                handle = module.register_forward_pre_hook(lambda _module, inputs: (rounded.change(inputs[0]),))
                stack.callback(handle.remove)
        yield


def _results(model: nn.Module, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
    """(last hidden state (tokens, n), logits), float32, without padding."""
    states, logits = [], []
    with torch.no_grad():
        for batch in batches:
            outputs = model(**batch, output_hidden_states=True)
            real = batch["attention_mask"].bool()
            states.append(outputs.hidden_states[-1][real])
            if hasattr(outputs, "start_logits"):
                logits.append(torch.stack([outputs.start_logits[real], outputs.end_logits[real]], dim=1))
            else:
                logits.append(outputs.logits)
    return torch.cat(states), torch.cat(logits)


def _relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).square().sum().sqrt() / expected.square().sum().sqrt().clamp_min(1e-30))
