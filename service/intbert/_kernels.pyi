"""The compiled kernels. Only `intbert.runtime.native` imports this module.

ValueError names a wrong tensor, value or name and what is allowed; TypeError an argument that is no such array.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

def available() -> list[str]:
    """Kernel sets that this CPU and operating system can run, best first."""

def known() -> list[str]:
    """Kernel sets that were compiled in, best first."""

class Model:
    """Weights packed for one kernel set; shared by any number of sessions.

    tensors: the flat names of `Program.tensors()`; the dict is emptied, so that what nobody else holds is freed once it
    is packed. The word table is read in place and must not change afterwards; everything else is copied.
    """

    def __init__(self, tensors: dict[str, NDArray[Any]], kernels: str) -> None: ...
    @property
    def kernels(self) -> str: ...
    @property
    def weights_bytes(self) -> int: ...
    @property
    def outputs(self) -> int: ...

class Session:
    """One caller's threads and buffers. RuntimeError when two threads run it at once."""

    def __init__(self, model: Model, threads: int) -> None: ...
    def run(
        self,
        token_ids: NDArray[np.int32],
        type_ids: NDArray[np.int32],
        cumulative_lengths: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """(sequences, labels) with a pooler, otherwise (tokens, outputs). Releases the interpreter lock."""

    @property
    def arena_bytes(self) -> int:
        """Buffers, as large as the largest batch so far needed."""
