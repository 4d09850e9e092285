"""CTranslate2's int8 encoder, with the last layer in NumPy: its encoder ends at the pooler."""

from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from benchmarks.engines.protocol import Rows, padded
from benchmarks.models import Files


class CTranslate2:
    """One encoder; it skips padding by itself."""

    def __init__(self, files: Files, threads: int) -> None:
        self._encoder = ctranslate2.Encoder(
            str(files.ctranslate2), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )
        with np.load(files.classifier) as arrays:
            self._weight, self._bias = arrays["weight"].T.copy(), arrays["bias"].copy()

    def prepare(self, rows: Rows) -> tuple[Any, Any]:
        """Token ids and lengths in CTranslate2's own storage; token types are all zero by default."""
        ids, mask = padded(rows)
        lengths = mask.sum(axis=1).astype(np.int32)
        return ctranslate2.StorageView.from_array(ids.astype(np.int32)), ctranslate2.StorageView.from_array(lengths)

    def run(self, prepared: tuple[Any, Any]) -> NDArray[Any]:
        """float32 logits."""
        output = self._encoder.forward_batch(*prepared)
        logits: NDArray[Any] = np.asarray(output.pooler_output) @ self._weight + self._bias
        return logits
