"""Ours, through the classes that the service uses."""

from typing import Any

from numpy.typing import NDArray

from benchmarks.engines.protocol import Rows
from benchmarks.models import Files
from intbert.model.tensor_file import read_tensors
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.native import NativeEngine


class Native:
    """One session of the native engine."""

    def __init__(self, files: Files, threads: int, *, kernels: str | None = None, all_tokens: bool = False) -> None:
        """`all_tokens`: an output for every token, so that the last layer computes all of them.

        This is what a classifier costs without the saving. The pooler's one row is gone and the output layer has more
        rows, both below half a percent of the work.
        """
        tensors, _ = read_tensors(files.integer, str(files.integer))
        if all_tokens:
            tensors = {name: values for name, values in tensors.items() if not name.startswith("head.pooler.")}
        self._engine = NativeEngine(tensors, logit_scale=1.0, kernels=kernels)
        self._session = self._engine.session(threads)

    def prepare(self, rows: Rows) -> RaggedBatch:
        """One after another, without padding."""
        return RaggedBatch.of([TokenSequence.of(row) for row in rows])

    def run(self, prepared: RaggedBatch) -> NDArray[Any]:
        """int32 logits."""
        return self._session.run(prepared)
