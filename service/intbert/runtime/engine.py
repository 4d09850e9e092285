"""The seam between service and engines: plain arrays in, logits out."""

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from intbert.runtime.batch import RaggedBatch


class EngineSession(Protocol):
    """One per worker thread, never shared between threads."""

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        """int32 logits (integer engines) or float32 logits: (sequences, labels), or (tokens, 2) for span QA.

        The result may be a view of the session's buffer, valid until its next run.
        """
        ...


class Engine(Protocol):
    """One per loaded variant, shared by all workers. Attributes never change."""

    @property
    def name(self) -> str:
        """For example "native:avx512_vnni", "reference", "onnxruntime"."""
        ...

    @property
    def integer_only(self) -> bool:
        """True when the logits are int32 and the same bits in every batch."""
        ...

    @property
    def logit_scale(self) -> float:
        """Real value of one int32 unit; 1.0 for float engines."""
        ...

    @property
    def weights_bytes(self) -> int:
        """Memory of the weights as the engine holds them."""
        ...

    def session(self, threads: int) -> EngineSession:
        """A session that computes with `threads` threads (1 or more)."""
        ...

    def arena_bytes(self) -> int:
        """Buffers of all sessions that exist now."""
        ...


@runtime_checkable
class PaddingSession(Protocol):
    """A session that pads reports how much."""

    @property
    def padding_ratio(self) -> float:
        """Share of the last run's tokens that was padding."""
        ...
