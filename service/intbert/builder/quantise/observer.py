"""What is seen of a float model's tensors on real texts. Padding never enters a statistic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]

BUFFER = 16  # rows kept before thinning, in multiples of the rows searched with


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
            if self._mask is None:
                return
            for sites, values in ((self.inputs, inputs[0]), (self.outputs, output)):
                site = sites.setdefault(name, Site(rows_max=self._rows_max, absmax=values.new_zeros(values.shape[-1])))
                kept = values.detach().float()
                site.see(kept if kept.dim() == 2 else kept[self._mask])  # heads see first tokens only, never padding

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

    @classmethod
    def over(cls, model: nn.Module, batches: Iterable[Batch], rows_max: int) -> "Observer":
        """What was seen of the model in evaluation mode over all batches; its mode is as before, its hooks are gone."""
        observer, training = cls(model, rows_max), model.training
        model.eval()
        try:
            observer.run(model, batches)
        finally:
            observer.close()
            model.train(training)
        return observer

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
