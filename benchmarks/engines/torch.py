"""PyTorch, eager, as Transformers runs it."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch.ao.quantization import quantize_dynamic
from transformers import BertForSequenceClassification

from benchmarks.engines.protocol import Rows, padded
from benchmarks.models import Files


class Torch:
    """FP32, or with every linear layer quantised dynamically to int8."""

    def __init__(self, files: Files, threads: int, *, int8: bool = False) -> None:
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        model: Any = BertForSequenceClassification.from_pretrained(files.checkpoint).eval()
        if int8:
            model = quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        self._model = model

    def prepare(self, rows: Rows) -> dict[str, Any]:
        """Without a mask where nothing is padded: that is faster."""
        ids, mask = padded(rows)
        inputs = {"input_ids": torch.from_numpy(ids)}
        if not mask.all():
            inputs["attention_mask"] = torch.from_numpy(mask)
        return inputs

    def run(self, prepared: dict[str, Any]) -> NDArray[Any]:
        """float32 logits."""
        with torch.inference_mode():
            logits: NDArray[Any] = self._model(**prepared).logits.numpy()
        return logits
