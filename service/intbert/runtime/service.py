"""The service without HTTP: store, engines, pool and tasks put together. The API and the CLI stand on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from intbert.errors import ConfigError, IntbertError, NotFoundError, UnavailableError
from intbert.model.manifest import REPORT_FILE, Manifest
from intbert.model.store import ModelStore
from intbert.runtime.answering import Answering, RequestLimits
from intbert.runtime.cache import PredictionCache
from intbert.runtime.catalog import Activation, Catalog, LoadedModel, Refusal
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.compare import Comparison, VariantMemory, memory_of
from intbert.runtime.computing import Computing
from intbert.runtime.engine import Engine
from intbert.runtime.engines import per_token
from intbert.runtime.jobs import ClassifyJob, Job, Prepared, Result_co
from intbert.runtime.observer import Observer, SilentObserver, VariantKey
from intbert.runtime.pool import PoolSettings, WorkerPool
from intbert.runtime.shadow import Shadow
from intbert.runtime.threads import ThreadPlan, plan_threads, read_machine

State = Literal["starting", "ready", "draining", "failed", "stopped"]
STALLED_AFTER_S = 60.0
LOADING_RETRY_MS = 1000


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
    cache_bytes: int = 0  # of remembered logits; 0: none
    shadow_rate: float = 0.0  # share of what integer variants answer that the float variant computes too


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
class _Running:
    """What exists once `start` succeeded."""

    catalog: Catalog
    pool: WorkerPool
    plan: ThreadPlan
    shadow: Shadow
    answering: Answering


class InferenceService:
    """Start, ask, drain, close. All methods are thread-safe."""

    def __init__(self, settings: ServiceSettings, observer: Observer | None = None) -> None:
        """Cheap: nothing is read before `start`."""
        self.settings = settings
        self.observer: Observer = observer or SilentObserver()
        self._status = ServiceStatus(state="starting", reason="the models are being loaded", code="loading")
        self._lock = Lock()
        self._running: _Running | None = None

    def start(self) -> ServiceStatus:
        """Blocking: verify and load every package, pass the known-answer self-test, start the workers.

        Never raises for a bad store: the status is then "failed" with the reason, and requests get UnavailableError.
        """
        try:
            self._running = self._load()
        except IntbertError as error:
            return self._become(ServiceStatus(state="failed", reason=error.message, code=error.code))
        except OSError as error:
            return self._become(ServiceStatus(state="failed", reason=str(error), code="store_unreadable"))
        except Exception as error:  # noqa: BLE001 - a fault of ours must be seen in the status, not only in a thread
            reason = f"the start failed unexpectedly: {type(error).__name__}: {error}"
            return self._become(ServiceStatus(state="failed", reason=reason, code="internal"))
        return self._become(ServiceStatus(state="ready"))

    def status(self) -> ServiceStatus:
        """Also "failed" with code "stalled" when a worker makes no progress."""
        running = self._running
        if running is not None and running.pool.longest_busy_s() > STALLED_AFTER_S:
            reason = f"a batch has been computed for more than {STALLED_AFTER_S:g} s without an end"
            return ServiceStatus(state="failed", reason=reason, code="stalled")
        return self._status

    def next_batch_ms(self) -> int:
        """When those can come back who were refused because too many are being answered."""
        return self._running.pool.next_batch_ms() if self._running is not None else LOADING_RETRY_MS

    @property
    def draining(self) -> bool:
        """Between `drain` and the end. Takes no lock: every answer asks."""
        return self._status.state == "draining"

    async def classify(self, inputs: Sequence[TextInput], parameters: ClassifyParameters) -> ClassifyResult:
        """Answer, or raise InputError, NotFoundError, OverloadedError, DeadlineError, UnavailableError, EngineError.

        Cancelling the awaiting task drops the work that has not begun.
        """
        return await self.answer(ClassifyJob(texts=inputs, selection=parameters))

    def classify_now(self, inputs: Sequence[TextInput], parameters: ClassifyParameters) -> ClassifyResult:
        """The same, blocking: for commands."""
        return self.answer_now(ClassifyJob(texts=inputs, selection=parameters))

    async def answer(self, job: Job[Prepared, Result_co]) -> Result_co:
        """Any task's request."""
        return await self._require_running().answering.answer(job)

    def answer_now(self, job: Job[Prepared, Result_co]) -> Result_co:
        """The same, blocking."""
        return self._require_running().answering.answer_now(job)

    async def compare(self, job: Job[Prepared, Result_co], variants: Sequence[str] | None = None) -> Comparison:
        """Answer with several variants of one version; None is all, the model's default first. Errors as `answer`."""
        return await self._require_running().answering.compare(job, variants)

    def refusals(self) -> list[Refusal]:
        """Versions that were passed over at the start, because they must not be used."""
        return list(self._require_running().catalog.refusals)

    def find_variant(self, job: Job[Prepared, Result_co]) -> VariantKey:
        """Which variant a job is for, without reading anything. NotFoundError, InputError, UnavailableError."""
        asked = job.selection
        catalog = self._require_running().catalog
        if not catalog.is_open(job.task, asked.model, asked.version):
            raise NotFoundError(f"version {asked.version!r} is not open", code="version_not_found")
        return catalog.resolve(job.task, asked.model, asked.version, asked.variant).key

    def models(self) -> list[dict[str, Any]]:
        """JSON for GET /models: one entry a model and version in the store.

        name, version, task, problem_type, labels, max_tokens, default (of its task), sha256, variants: {name: {file,
        engine, bytes, bytes_at_fp32, stored_dtype, parameters, sha256, integer_only, loaded, default}}, architecture,
        card. A version whose manifest is broken has name, version, error, code, and no variants.
        """
        return self._require_running().catalog.describe()

    def activate(self, model: str, version: str) -> Activation:
        """Blocking: load a version beside the active one, test it, swap. No request fails, whichever it gets.

        NotFoundError, ActivationError. The version before stays loaded: activate it again to go back.
        """
        activation = self._require_running().catalog.activate(model, version)
        self.observer.on_activate(model=model, version=version)
        return activation

    def machine(self) -> dict[str, Any]:
        """JSON: kernels (active, available), threads (workers, threads_alone, reason)."""
        from intbert.runtime.native import supported_kernels

        running = self._require_running()
        names = {
            engine.name.removeprefix("native:")
            for model in running.catalog.models()
            for engine in model.engines.values()
            if engine.integer_only
        }
        plan = running.plan
        return {
            "kernels": {"active": next(iter(sorted(names)), None), "available": list(supported_kernels())},
            "threads": {"workers": plan.workers, "threads_alone": plan.threads_alone, "reason": plan.reason},
        }

    def memory(self, model: str, variant: str, version: str | None = None) -> VariantMemory:
        """NotFoundError for unknown names."""
        loaded = self._require_running().catalog.find(model, version)
        variants = loaded.package.manifest.variants
        if variant not in variants:
            raise NotFoundError.of("variant", variant, sorted(variants), where=model)
        return memory_of(loaded.engines.get(variant))

    def arena_bytes(self, model: str, version: str, variant: str) -> int:
        """Buffers of a variant, 0 while it is not loaded: quick, opens nothing."""
        engine = self._require_running().catalog.loaded_engine(model, version, variant)
        return 0 if engine is None else engine.arena_bytes()

    def manifest(self, model: str, version: str | None = None) -> Manifest:
        """What the package says of itself. NotFoundError; PackageError for a version opened now, which is slow."""
        return self._require_running().catalog.find(model, version).package.manifest

    def report_path(self, model: str, version: str | None = None) -> Path:
        """The package's report.html. NotFoundError for unknown names, or a package without one."""
        package = self._require_running().catalog.find(model, version).package
        if REPORT_FILE not in package.manifest.files:
            raise NotFoundError.of("report", REPORT_FILE, [], where=model)
        return package.directory / REPORT_FILE

    def drain(self) -> None:
        """Not ready from now on, but requests are still served: first step of a shutdown."""
        with self._lock:
            if self._status.state in ("starting", "ready"):
                self._status = ServiceStatus(state="draining", reason="the server is shutting down", code="draining")

    def close(self, timeout_s: float) -> bool:
        """Refuse new work, finish what was admitted within the bound, stop the workers. True when nothing was lost."""
        self.drain()
        running, clean = self._running, True
        if running is not None:
            clean = running.pool.close(timeout_s)
            running.shadow.close()
        with self._lock:
            self._status = ServiceStatus(state="stopped", reason="the server has stopped", code="draining")
        return clean

    def _load(self) -> _Running:
        settings = self.settings
        if settings.batch_tokens > settings.queue_tokens:
            raise ConfigError(f"batch_tokens ({settings.batch_tokens}) exceeds queue_tokens ({settings.queue_tokens})")
        plan = plan_threads(read_machine(), threads=settings.threads, workers=settings.workers)
        limits = PoolSettings(queue_tokens_max=settings.queue_tokens, batch_tokens_max=settings.batch_tokens)
        pool = WorkerPool(plan, limits, self.observer)
        catalog = Catalog(
            ModelStore(settings.store),
            kernels=settings.kernels,
            pool_threads=plan.threads_alone,
            default_models=settings.default_models,
            tokens_max=settings.queue_tokens,
            with_baselines=settings.shadow_rate > 0,
            on_load=lambda model, key, engine: self._on_load(pool, model, key, engine),
        )
        try:
            catalog.load_all()
        except BaseException:
            pool.close(0.0)
            raise
        shadow = Shadow(catalog, pool, self.observer, rate=settings.shadow_rate)
        request_limits = RequestLimits(
            inputs_max=settings.inputs_max, tokens_max=settings.queue_tokens, timeout_s=settings.timeout_s
        )
        cache = PredictionCache(settings.cache_bytes, self.observer)
        answering = Answering(catalog, Computing(pool, cache), shadow, request_limits)
        for model in catalog.models():
            self.observer.on_activate(model=model.key("").model, version=model.key("").version)
        return _Running(catalog=catalog, pool=pool, plan=plan, shadow=shadow, answering=answering)

    def _on_load(self, pool: WorkerPool, model: LoadedModel, key: VariantKey, engine: Engine) -> None:
        pool.add(key, engine, per_token=per_token(model.package))
        self.observer.on_variant_loaded(
            model=key.model,
            version=key.version,
            variant=key.variant,
            sha256=model.package.sha256,
            weights_bytes=engine.weights_bytes,
            default=key.variant == model.package.manifest.default_variant,
        )

    def _become(self, status: ServiceStatus) -> ServiceStatus:
        """A shutdown that began meanwhile stays."""
        with self._lock:
            if self._status.state == "starting":
                self._status = status
            return self._status

    def _require_running(self) -> _Running:
        if self._running is None:
            status = self._status
            raise UnavailableError(status.reason or "the service is not ready", code=status.code)
        return self._running
