"""What the runtime reports about itself. `api` passes an observer that counts; the runtime knows no metrics library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

DropReason = Literal["overloaded", "deadline", "cancelled", "unavailable", "internal"]
WorkerState = Literal["idle", "busy", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VariantKey:
    """One variant of one version of one model."""

    model: str
    version: str
    variant: str


@dataclass(frozen=True, kw_only=True)
class BatchEvent:
    """`padding_ratio` is the share of the computed tokens that was padding; 0 for ragged engines."""

    key: VariantKey
    tokens: int
    sequences: int
    compute_s: float
    padding_ratio: float


@dataclass(frozen=True, kw_only=True)
class LoadEvent:
    """A variant can be served from now on; `arena_bytes` may be asked at any time."""

    key: VariantKey
    sha256: str
    engine: str  # "native:avx512_vnni", "onnxruntime"
    weights_bytes: int
    arena_bytes: Callable[[], int]


class Observer(Protocol):
    """Called from several threads; every method must be quick, thread-safe, and must not raise."""

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        """After each change of the queue: tokens that wait, and for how long the oldest has."""
        ...

    def on_batch(self, event: BatchEvent) -> None:
        """A batch was computed."""
        ...

    def on_drop(self, key: VariantKey, reason: DropReason) -> None:
        """One sequence was refused (overloaded, unavailable), dropped before compute (deadline, cancelled) or lost."""
        ...

    def on_worker(self, *, worker: int, state: WorkerState) -> None:
        """A worker's state; also its sign of life, sent at least every second while it is idle."""
        ...

    def on_variant_loaded(self, event: LoadEvent) -> None:
        """A variant was loaded, at start or on its first use."""
        ...


class SilentObserver:
    """Observes nothing: for commands and tests."""

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        """Nothing."""

    def on_batch(self, event: BatchEvent) -> None:
        """Nothing."""

    def on_drop(self, key: VariantKey, reason: DropReason) -> None:
        """Nothing."""

    def on_worker(self, *, worker: int, state: WorkerState) -> None:
        """Nothing."""

    def on_variant_loaded(self, event: LoadEvent) -> None:
        """Nothing."""
