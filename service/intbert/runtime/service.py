"""The service without HTTP: store, engines, pool and tasks put together. The API and the CLI stand on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.observer import Observer, SilentObserver

State = Literal["starting", "ready", "draining", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Values only; `config.Settings` is translated by the caller. 0 threads or workers: choose from the machine."""

    store: Path
    default_models: Mapping[str, str] = field(
        default_factory=dict
    )  # task -> model name; else the only model of the task
    kernels: str | None = None
    threads: int = 0
    workers: int = 0
    queue_tokens: int = 65536
    batch_tokens: int = 2048
    inputs_max: int = 256
    timeout_s: float = 30.0


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """`ready` only in state "ready"; `reason` says why not, for people; `code` is the failing error's."""

    state: State
    reason: str | None = None
    code: str | None = None

    @property
    def ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, kw_only=True)
class VariantMemory:
    """Bytes as the engine counts them. Both 0 while a lazy variant is not loaded."""

    weights_bytes: int
    arena_bytes: int
    loaded: bool


class InferenceService:
    """Start, ask, drain, close. All methods are thread-safe."""

    def __init__(self, settings: ServiceSettings, observer: Observer | None = None) -> None:
        """Cheap: nothing is read before `start`."""
        self.settings = settings
        self.observer: Observer = observer or SilentObserver()

    def start(self) -> ServiceStatus:
        """Blocking: verify and load every package, pass the known-answer self-test, start the workers.

        Never raises for a bad store: the status is then "failed" with the reason, and requests get UnavailableError.
        """
        raise NotImplementedError

    def status(self) -> ServiceStatus:
        """Also "failed" when the workers make no progress."""
        raise NotImplementedError

    async def classify(self, inputs: Sequence[TextInput], parameters: ClassifyParameters) -> ClassifyResult:
        """Answer, or raise InputError, NotFoundError, OverloadedError, DeadlineError, UnavailableError, EngineError.

        Cancelling the awaiting task drops the work that has not begun.
        """
        raise NotImplementedError

    def classify_now(self, inputs: Sequence[TextInput], parameters: ClassifyParameters) -> ClassifyResult:
        """The same, blocking: for commands."""
        raise NotImplementedError

    def models(self) -> list[dict[str, Any]]:
        """JSON for GET /models: one entry a model and version.

        name, version, task, problem_type, labels, max_tokens, default (of its task), sha256, variants: {name: {file,
        engine, bytes, parameters, sha256, integer_only, loaded, default}}, card.
        """
        raise NotImplementedError

    def machine(self) -> dict[str, Any]:
        """JSON: kernels (active set, available sets), threads (plan: cores, workers, threads_alone, why)."""
        raise NotImplementedError

    def memory(self, model: str, variant: str, version: str | None = None) -> VariantMemory:
        """NotFoundError for unknown names."""
        raise NotImplementedError

    def report_path(self, model: str, version: str | None = None) -> Path:
        """The package's report.html."""
        raise NotImplementedError

    def drain(self) -> None:
        """Not ready from now on, but requests are still served: first step of a shutdown."""
        raise NotImplementedError

    def close(self, timeout_s: float) -> bool:
        """Refuse new work, finish what was admitted within the bound, stop the workers. True when nothing was lost."""
        raise NotImplementedError
