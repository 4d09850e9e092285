"""What a server would find here: processor, kernels, threads, limits, and every package of the store, tried out."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from intbert.errors import ConfigError, IntbertError
from intbert.model.manifest import Manifest
from intbert.model.package import Package
from intbert.model.store import ModelStore
from intbert.runtime.bench import cpu_name
from intbert.runtime.engines import try_out
from intbert.runtime.native import choose_kernels, supported_kernels
from intbert.runtime.service import ServiceSettings
from intbert.runtime.threads import plan_threads, read_machine
from intbert.telemetry.cgroup import read_cgroup_cpu, read_memory_limit_bytes


@dataclass(frozen=True, kw_only=True)
class Check:
    """`detail` is a fact when `ok`, else what is wrong and what to do; `code` is the error's."""

    name: str
    ok: bool
    detail: str
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What `intbert doctor --json` prints."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """A plain document."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def examine(settings: ServiceSettings) -> Diagnosis:
    """Takes as long as loading every version of the store. Never raises for what it examines."""
    return Diagnosis(checks=(*_machine(settings), *_store(settings)))


def _machine(settings: ServiceSettings) -> Iterator[Check]:
    yield Check(name="cpu", ok=True, detail=cpu_name())
    try:
        available = ", ".join(supported_kernels())
        chosen = choose_kernels(settings.kernels)
        yield Check(name="kernels", ok=True, detail=f"{chosen} (this processor can run: {available})")
    except IntbertError as error:
        yield _failed("kernels", error)
    cpu, memory_bytes = read_cgroup_cpu(), read_memory_limit_bytes()
    quota = "no CPU quota" if cpu.limit_cores == float("inf") else f"{cpu.limit_cores:g} cores"
    memory = "no memory limit" if memory_bytes is None else f"{memory_bytes / 2**20:.0f} MiB"
    yield Check(name="cgroup", ok=True, detail=f"{quota}, throttled for {cpu.throttled_s:.1f} s so far; {memory}")
    try:
        plan = plan_threads(read_machine(), threads=settings.threads, workers=settings.workers)
        detail = f"{plan.workers} batches at a time, one alone on {plan.threads_alone} threads ({plan.reason})"
        yield Check(name="threads", ok=True, detail=detail)
    except IntbertError as error:
        yield _failed("threads", error)


def _store(settings: ServiceSettings) -> Iterator[Check]:
    store = ModelStore(settings.store)
    try:
        names = store.models()
        if not names:
            raise ConfigError(f"the store {store.root} holds no model; build one with `intbert build`")
    except (IntbertError, OSError) as error:
        yield _failed("store", error)
        return
    yield Check(name="store", ok=True, detail=f"{store.root}: {', '.join(names)}")
    newest: dict[str, Manifest] = {}
    for name in names:
        for version in store.versions(name):
            try:
                package = store.open(name, version)
                detail = _try_out(package, settings)
                newest[name] = package.manifest
                yield Check(name=f"{name}/{version}", ok=True, detail=detail)
            except (IntbertError, OSError) as error:
                newest.pop(name, None)
                yield _failed(f"{name}/{version}", error)
    yield from _defaults(settings, newest)


def _try_out(package: Package, settings: ServiceSettings) -> str:
    """Load and test every variant, one after the other."""
    manifest = package.manifest
    if manifest.max_tokens > settings.queue_tokens:
        raise ConfigError(
            f"it takes inputs of {manifest.max_tokens} tokens, but queue_tokens is {settings.queue_tokens}; "
            "raise INTBERT_QUEUE_TOKENS"
        )
    engines = try_out(package, kernels=settings.kernels)
    sizes = [f"{variant} {engine.weights_bytes / 1e6:.1f} MB on {engine.name}" for variant, engine in engines.items()]
    return f"{manifest.task}, verified and tested: {', '.join(sizes)}"


def _defaults(settings: ServiceSettings, newest: dict[str, Manifest]) -> Iterator[Check]:
    """Models that the settings name. Where a package is defective that was said already."""
    for task, name in settings.default_models.items():
        if name not in newest or newest[name].task != task:
            message = f"the default model for {task} is {name!r}, which the store does not hold for that task"
            yield _failed(f"default for {task}", ConfigError(message))


def _failed(name: str, error: Exception) -> Check:
    if isinstance(error, IntbertError):
        return Check(name=name, ok=False, detail=error.message, code=error.code)
    return Check(name=name, ok=False, detail=str(error), code="store_unreadable")
