"""Ours, through the classes that the service uses."""

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.engines.protocol import Rows
from benchmarks.models import Files
from intbert.arithmetic.program import Head, Program
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.native import NativeEngine


class Native:
    """One session of the native engine."""

    def __init__(self, files: Files, threads: int, *, kernels: str | None = None, all_tokens: bool = False) -> None:
        program = Program.from_tensors(load_file(files.integer))
        if all_tokens:
            program = without_pooler(program)
        self._all_tokens = all_tokens
        self._engine = NativeEngine(program, logit_scale=1.0, kernels=kernels)
        self._session = self._engine.session(threads)

    def prepare(self, rows: Rows) -> RaggedBatch:
        """One after another, without padding."""
        return RaggedBatch.of([TokenSequence.of(row) for row in rows])

    def run(self, prepared: RaggedBatch) -> NDArray[Any]:
        """int32 logits."""
        return self._session.run(prepared)


def without_pooler(program: Program) -> Program:
    """The same encoder with an output for every token: the last layer then computes all of them.

    This is what a classifier costs without the saving. The pooler's one row is gone and the output layer has more rows,
    both below half a percent of the work.
    """
    return replace(program, head=Head(pooler=None, output=program.head.output))
