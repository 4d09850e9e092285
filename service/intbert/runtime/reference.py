"""The reference as an engine: the specification itself, slow and always there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.arithmetic.encoder import forward
from intbert.arithmetic.program import Program
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engine import EngineSession


class ReferenceEngine:
    """`arithmetic.encoder.forward` behind the engine protocol."""

    name = "reference"
    integer_only = True

    def __init__(self, program: Program, *, logit_scale: float) -> None:
        self._program = program
        self.logit_scale = logit_scale
        self.weights_bytes = sum(array.nbytes for array in program.tensors().values())

    def session(self, threads: int) -> EngineSession:
        """NumPy decides about threads; the bits are the same for any number. ValueError for threads < 1."""
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        return ReferenceSession(self._program)

    def arena_bytes(self) -> int:
        """NumPy allocates and frees as it goes: nothing stays."""
        return 0


class ReferenceSession:
    """One thread's view; the program is read-only, so nothing is shared that changes."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        """int32 logits: (sequences, labels), or (tokens, 2) for span QA."""
        logits: NDArray[np.int32] = forward(self._program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
        return logits
