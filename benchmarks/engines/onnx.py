"""ONNX Runtime on any of the prepared graphs."""

from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from benchmarks.engines.protocol import Rows, feeds


class Onnx:
    """One InferenceSession with ONNX Runtime's defaults (spinning threads, all graph optimisations)."""

    def __init__(self, graph: Path, threads: int, *, without: tuple[str, ...] = ()) -> None:
        """`without`: optimisers that are switched off because the graph is faster without them."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
        )
        self._names = [item.name for item in self._session.get_inputs()]

    def prepare(self, rows: Rows) -> dict[str, Any]:
        """The graph's inputs; the offline optimiser may have changed their types."""
        return {name: values for name, values in feeds(rows).items() if name in self._names}

    def run(self, prepared: dict[str, Any]) -> NDArray[Any]:
        """float32 logits."""
        logits: NDArray[Any] = self._session.run(None, prepared)[0]
        return logits
