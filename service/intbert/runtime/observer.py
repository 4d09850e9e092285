"""What the runtime reports about itself. The telemetry counts it; the runtime knows no metrics library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

DropReason = Literal["overloaded", "deadline", "cancelled", "unavailable", "internal"]
ShadowDropReason = Literal["busy", "too_large", "late", "failed"]
Decision = Literal["label", "span"]
WorkerState = Literal["idle", "busy", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VariantKey:
    """One variant of one version of one model."""

    model: str
    version: str
    variant: str


class Observer(Protocol):
    """Called from several threads; every method must be quick, thread-safe, and must not raise."""

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        """After each change of the queue: tokens that wait, and for how long the oldest has."""
        ...

    def on_batch(
        self,
        *,
        model: str,
        variant: str,
        tokens: int,
        sequences: int,
        compute_s: float,
        engine_cpu_s: float,
        padding_ratio: float,
    ) -> None:
        """A batch was computed.

        `engine_cpu_s`: processor time of the worker's own thread inside the engine. `padding_ratio`: the share of what
        was computed that was padding, 0 if ragged.
        """
        ...

    def on_drop(self, *, model: str, variant: str, reason: DropReason) -> None:
        """One sequence was refused (overloaded, unavailable), dropped before compute (deadline, cancelled) or lost."""
        ...

    def on_worker(self, *, worker: int, state: WorkerState) -> None:
        """A worker's state; also its sign of life, sent at least every second while it is idle."""
        ...

    def on_variant_loaded(
        self, *, model: str, version: str, variant: str, sha256: str, weights_bytes: int, default: bool
    ) -> None:
        """A variant can be served now; `default` is the one used when a request names none."""
        ...

    def on_shadow(
        self, *, model: str, variant: str, decision: Decision, disagreements: int, logit_abs_diffs: Sequence[float]
    ) -> None:
        """Inputs that the integer variant `variant` answered were computed by the float variant too.

        `logit_abs_diffs`: for each of them the largest difference of a logit, in real units.
        """
        ...

    def on_shadow_drop(self, *, model: str, variant: str, reason: ShadowDropReason) -> None:
        """A sampled request was not compared."""
        ...

    def on_activate(self, *, model: str, version: str) -> None:
        """Requests that name no version get this one from now on."""
        ...

    def on_cache(self, *, model: str, variant: str, hits: int, misses: int) -> None:
        """Sequences that were looked up: known, and to be computed."""
        ...

    def on_cache_size(self, *, held_bytes: int) -> None:
        """What the cache holds now."""
        ...


class SilentObserver:
    """Observes nothing: for commands and tests."""

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        """Nothing."""

    def on_batch(
        self,
        *,
        model: str,
        variant: str,
        tokens: int,
        sequences: int,
        compute_s: float,
        engine_cpu_s: float,
        padding_ratio: float,
    ) -> None:
        """Nothing."""

    def on_drop(self, *, model: str, variant: str, reason: DropReason) -> None:
        """Nothing."""

    def on_worker(self, *, worker: int, state: WorkerState) -> None:
        """Nothing."""

    def on_variant_loaded(
        self, *, model: str, version: str, variant: str, sha256: str, weights_bytes: int, default: bool
    ) -> None:
        """Nothing."""

    def on_shadow(
        self, *, model: str, variant: str, decision: Decision, disagreements: int, logit_abs_diffs: Sequence[float]
    ) -> None:
        """Nothing."""

    def on_shadow_drop(self, *, model: str, variant: str, reason: ShadowDropReason) -> None:
        """Nothing."""

    def on_activate(self, *, model: str, version: str) -> None:
        """Nothing."""

    def on_cache(self, *, model: str, variant: str, hits: int, misses: int) -> None:
        """Nothing."""

    def on_cache_size(self, *, held_bytes: int) -> None:
        """Nothing."""
