"""The native engine: the C++ kernels behind the engine protocol. The only user of the compiled module."""

import weakref
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from intbert import _kernels
from intbert.arithmetic.program import Program
from intbert.errors import KernelError
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engine import EngineSession


def supported_kernels() -> list[str]:
    """Names of the kernel sets that this machine can run, best first."""
    return _kernels.available()


class NativeEngine:
    """An integer program packed for one kernel set."""

    integer_only = True

    def __init__(self, program: Program | dict[str, NDArray[Any]], *, logit_scale: float, kernels: str | None) -> None:
        """`kernels` forces a kernel set by name; None takes the best. KernelError when it is not to be had here.

        program: or its tensors, which are taken out of the dict: what nobody else holds is then in memory once, not
        twice, while it is packed.
        """
        tensors = program if isinstance(program, dict) else program.tensors()
        self._model = _kernels.Model(tensors, choose_kernels(kernels))
        self._sessions: weakref.WeakSet[NativeSession] = weakref.WeakSet()
        self._lock = Lock()  # a scrape of the metrics counts sessions while a worker makes one
        self.name = f"native:{self._model.kernels}"
        self.logit_scale = logit_scale
        self.weights_bytes = self._model.weights_bytes

    def session(self, threads: int) -> EngineSession:
        """A session with its own buffers and `threads` threads. ValueError unless 1 <= threads <= 256."""
        if not 1 <= threads <= 256:
            raise ValueError(f"threads is {threads}, allowed are 1 to 256")
        session = NativeSession(self._model, threads)
        with self._lock:
            self._sessions.add(session)
        return session

    def arena_bytes(self) -> int:
        """Buffers of all sessions that exist now."""
        with self._lock:
            return sum(session.arena_bytes for session in self._sessions)


class NativeSession:
    """One worker's threads and buffers."""

    def __init__(self, model: _kernels.Model, threads: int) -> None:
        self._session = _kernels.Session(model, threads)

    @property
    def arena_bytes(self) -> int:
        return self._session.arena_bytes

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        """int32 logits: (sequences, labels), or (tokens, outputs) for span QA. The interpreter lock is released."""
        return self._session.run(batch.token_ids, batch.type_ids, batch.cumulative_lengths)


def choose_kernels(kernels: str | None) -> str:
    """The forced name if it can run here, the best one for None. KernelError says what could."""
    available = _kernels.available()
    if kernels is None:
        return available[0]
    if kernels in available:
        return kernels
    known = kernels in _kernels.known()
    what = "is not supported by this CPU" if known else "does not exist"
    raise KernelError(
        f"kernel set {kernels!r} {what}; supported here: {', '.join(available)}",
        code="kernel_unsupported" if known else "kernel_unknown",
        details={"kernels": kernels, "supported": available},
    )
