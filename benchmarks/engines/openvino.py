"""OpenVINO on its own representation."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from benchmarks.engines.protocol import Rows, feeds


class OpenVino:
    """A compiled model and one request of it, tuned for latency."""

    def __init__(self, model: Path, threads: int, *, precision: str) -> None:
        """`precision`: of what stays in floating point, "f32" or "bf16" (OpenVINO's default where the CPU has it)."""
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision,
        }
        self._request = core.compile_model(str(model), "CPU", settings).create_infer_request()

    def prepare(self, rows: Rows) -> dict[str, Any]:
        """Named inputs, int64."""
        return dict(feeds(rows))

    def run(self, prepared: dict[str, Any]) -> NDArray[Any]:
        """float32 logits."""
        results = self._request.infer(prepared, share_inputs=True, share_outputs=True)
        return np.asarray(results[0])
