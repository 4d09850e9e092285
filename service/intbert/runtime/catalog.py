"""The models that are served: opened packages, their tokenizers, and the engines of their variants."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any

from intbert.errors import (
    ActivationError,
    ConfigError,
    InputError,
    IntbertError,
    NotFoundError,
    PackageError,
    TensorError,
)
from intbert.model.manifest import Manifest, Task
from intbert.model.package import Package, parse_manifest, read_manifest_bytes
from intbert.model.store import ModelStore, only_model
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.answers import ModelRef
from intbert.runtime.engine import Engine
from intbert.runtime.engines import load_engine, self_test
from intbert.runtime.observer import VariantKey

OnLoad = Callable[["LoadedModel", VariantKey, Engine], None]


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A verified package with its tokenizer; engines appear when their variant is loaded."""

    package: Package
    tokenizer: Tokenizer
    engines: dict[str, Engine] = field(default_factory=dict)

    def key(self, variant: str) -> VariantKey:
        """Names the variant in queue and metrics."""
        return VariantKey(model=self.package.manifest.name, version=self.package.manifest.version, variant=variant)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request resolved to."""

    model: LoadedModel
    variant: str

    @property
    def key(self) -> VariantKey:
        return self.model.key(self.variant)

    @property
    def integer_only(self) -> bool:
        return self.model.package.manifest.variants[self.variant].engine == "integer"

    @property
    def logit_scale(self) -> float:
        """Real value of one unit of the logits, calibrated."""
        return self.model.package.manifest.output_scale(self.variant)

    @property
    def null_offset(self) -> float:
        """What is added to the score of 'no answer'."""
        return self.model.package.manifest.calibration.null_offset

    @property
    def float_baseline(self) -> "Target | None":
        """What an integer variant is measured against: the gate's baseline; None if there is none."""
        manifest = self.model.package.manifest
        name = manifest.gate.baseline
        if not self.integer_only or manifest.variants[name].engine == "integer":
            return None
        return Target(model=self.model, variant=name)

    @property
    def ref(self) -> ModelRef:
        key = self.key
        return ModelRef(name=key.model, version=key.version, variant=key.variant, sha256=self.model.package.sha256)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A version that was passed over at the start, since an older one can serve."""

    model: str
    version: str
    error: PackageError


@dataclass(frozen=True, kw_only=True)
class Activation:
    """`previous` stays loaded, so that going back takes no time; None for a model that was not served before."""

    model: LoadedModel
    previous: str | None


class Catalog:
    """Thread-safe. Of each model one version is active: at first the newest good one, whose integer variants `load_all`
    loads.

    Everything else is loaded on first use, or by `activate`.
    """

    def __init__(
        self,
        store: ModelStore,
        *,
        kernels: str | None,
        pool_threads: int,
        default_models: Mapping[str, str],
        tokens_max: int,
        with_baselines: bool = False,
        on_load: OnLoad,
    ) -> None:
        """`on_load` is told of every variant that passed its self-test, before it is used.

        `tokens_max`: what one request can have at most; a model that takes longer inputs is refused.
        `with_baselines`: load the float variants with which integer ones are compared at once, too.
        """
        self._store = store
        self._kernels = kernels
        self._pool_threads = pool_threads
        self._default_models = default_models
        self._tokens_max = tokens_max
        self._with_baselines = with_baselines
        self._on_load = on_load
        self._active: dict[str, str] = {}
        self._models: dict[tuple[str, str], LoadedModel] = {}
        self._open_lock = Lock()
        self._load_lock = Lock()
        self._activate_lock = Lock()
        self.refusals: list[Refusal] = []  # by `load_all`

    def load_all(self) -> None:
        """Verify every model's newest version and load its integer variants.

        A version that must not be used is passed over for the next older one, and kept in `refusals`. Raises the
        PackageError of the newest when there is no other, ConfigError, ...
        """
        names = self._store.models()
        if not names:
            raise ConfigError(f"the store {self._store.root} holds no model; build one with `intbert build`")
        with ThreadPoolExecutor(max_workers=self._pool_threads) as threads:  # hashing, most of it, holds no lock
            newest = list(threads.map(self._read_newest, names))
        for model in newest:
            self._serve_newest(model)
        for task, name in self._default_models.items():
            if name not in self._active or self._task(name) != task:
                raise ConfigError(
                    f"the default model for {task} is {name!r}, which the store does not hold for that task"
                )

    def _serve_newest(self, model: LoadedModel) -> None:
        """The model, or an older version when it can't be made ready."""
        while True:
            key = model.key("")
            self._models[key.model, key.version] = model
            try:
                self._make_ready(model)
            except PackageError as error:
                self._models.pop((key.model, key.version))
                self._refuse(key.model, key.version, error)
                model = self._read_newest(key.model)
            else:
                self._active[key.model] = key.version
                return

    def _read_newest(self, name: str) -> LoadedModel:
        """The newest version that can be read and was not refused before. The newest's PackageError when none can."""
        refused = {item.version for item in self.refusals if item.model == name}
        for version in reversed(self._store.versions(name)):
            if version not in refused:
                try:
                    return self._read(name, version)
                except PackageError as error:
                    self._refuse(name, version, error)
        raise next(item.error for item in self.refusals if item.model == name)

    def _refuse(self, name: str, version: str, error: PackageError) -> None:
        self.refusals.append(Refusal(model=name, version=version, error=error))

    def activate(self, name: str, version: str) -> Activation:
        """Serve another version from now on, loaded and tested first; the one before keeps serving until then.

        Takes seconds. NotFoundError for unknown names, ActivationError with the cause's code for everything else.
        """
        with self._activate_lock:
            previous = self._active.get(name)
            self._store.path(name, version)  # NotFoundError
            try:
                model = self._open(name, version)
                self._check_task(model, previous)
                self._make_ready(model)
            except (IntbertError, OSError) as error:
                self._forget(name, version)
                raise ActivationError.of(error, model=name, version=version, serving=previous) from error
            self._active[name] = version
            return Activation(model=model, previous=previous)

    def _check_task(self, model: LoadedModel, previous: str | None) -> None:
        manifest = model.package.manifest
        if previous is not None and manifest.task != self._task(manifest.name):
            raise ConfigError(f"it is for {manifest.task}, the active version for {self._task(manifest.name)}")

    def _forget(self, name: str, version: str) -> None:
        """A version that failed is read again when it is asked for again: somebody may have mended it."""
        model = self._models.get((name, version))
        if model is not None and not model.engines:
            self._models.pop((name, version), None)

    def _make_ready(self, model: LoadedModel) -> None:
        """All that requests expect to be there without a wait, loaded and tested."""
        check_queue_holds(model.package.manifest, queue_tokens=self._tokens_max)
        for variant, entry in model.package.manifest.variants.items():
            target = Target(model=model, variant=variant)
            if entry.engine == "integer":
                self.engine(target)
                if self._with_baselines and target.float_baseline is not None:
                    self.engine(target.float_baseline)

    def resolve(self, task: Task, model: str | None, version: str | None, variant: str | None) -> Target:
        """None chooses the default. NotFoundError names what there is, InputError what doesn't fit the task."""
        name = model or self._default(task)
        if name not in self._active:
            raise NotFoundError.of("model", name, sorted(self._active))
        loaded = self._open(name, version or self._active[name])
        manifest = loaded.package.manifest
        if manifest.task != task:
            raise InputError.wrong_task(model=name, task=manifest.task, wanted=task)
        chosen = variant or manifest.default_variant
        if chosen not in manifest.variants:
            raise NotFoundError.of("variant", chosen, sorted(manifest.variants), where=name)
        return Target(model=loaded, variant=chosen)

    def find(self, model: str, version: str | None = None) -> LoadedModel:
        """By name, whatever its task; the active version by default. NotFoundError."""
        if model not in self._active:
            raise NotFoundError.of("model", model, sorted(self._active))
        return self._open(model, version or self._active[model])

    def is_open(self, task: Task, model: str | None, version: str | None) -> bool:
        """Whether `resolve` returns at once. A version that nobody asked for yet has to be read and verified first."""
        return version is None or (model or self.default_of(task), version) in self._models

    def is_loaded(self, target: Target) -> bool:
        """Whether `engine` returns at once."""
        return target.variant in target.model.engines

    def engine(self, target: Target) -> Engine:
        """The variant's engine, loaded and tested now if it was not: takes up to seconds then."""
        engines = target.model.engines
        if target.variant not in engines:
            with self._load_lock:
                if target.variant not in engines:
                    package = target.model.package
                    engine = load_engine(
                        package, target.variant, kernels=self._kernels, pool_threads=self._pool_threads
                    )
                    self_test(package, target.variant, engine, target.model.tokenizer)
                    self._on_load(target.model, target.key, engine)
                    engines[target.variant] = engine
        return engines[target.variant]

    def loaded_engine(self, model: str, version: str, variant: str) -> Engine | None:
        """Without loading anything."""
        loaded = self._models.get((model, version))
        return loaded.engines.get(variant) if loaded is not None else None

    def models(self) -> list[LoadedModel]:
        """All that were opened, by name and version."""
        models = self._models.copy()
        return [models[key] for key in sorted(models)]

    def describe(self) -> list[dict[str, Any]]:
        """Entries of GET /models: every version in the store, opened or not, oldest first."""
        opened = {(key.model, key.version): model for model in self.models() for key in [model.key("")]}
        entries = []
        for name in sorted(self._active.copy()):
            for version in self._store.versions(name):
                model = opened.get((name, version))
                if model is not None:
                    package, engines = model.package, model.engines
                    entries.append(self._entry(package.manifest, package.sha256, engines))
                else:
                    entries.append(self._closed_entry(name, version))
        return entries

    def default_of(self, task: Task) -> str | None:
        """The model that a request without a name gets; None when it has to name one."""
        try:
            return self._default(task)
        except (InputError, NotFoundError):
            return None

    def _entry(self, manifest: Manifest, package_sha256: str, engines: Mapping[str, Engine]) -> dict[str, Any]:
        active = self._active[manifest.name] == manifest.version
        default = active and self.default_of(manifest.task) == manifest.name
        return describe(manifest, package_sha256, engines, default=default) | {"active": active}

    def _closed_entry(self, name: str, version: str) -> dict[str, Any]:
        """A version that nobody asked for yet, by its manifest alone; its files are verified when it is used."""
        directory = self._store.path(name, version)
        try:
            raw = read_manifest_bytes(directory)
            return self._entry(parse_manifest(raw, directory), sha256(raw).hexdigest(), {})
        except PackageError as error:
            return {
                "name": name,
                "version": version,
                "active": False,
                "error": error.message,
                "code": error.code,
                "variants": {},
            }

    def _default(self, task: Task) -> str:
        if task in self._default_models:
            return self._default_models[task]
        return only_model([name for name in sorted(self._active.copy()) if self._task(name) == task], task)

    def _task(self, name: str) -> Task:
        return self._models[name, self._active[name]].package.manifest.task

    def _open(self, name: str, version: str) -> LoadedModel:
        # The event loop comes here too: what is open must not wait for another version that is being read.
        if (model := self._models.get((name, version))) is not None:
            return model
        with self._open_lock:
            if (name, version) not in self._models:
                self._models[name, version] = self._read(name, version)
            return self._models[name, version]

    def _read(self, name: str, version: str) -> LoadedModel:
        package = self._store.open(name, version)
        tokenizer = package.tokenizer()
        _check_vocabulary(package, tokenizer)
        return LoadedModel(package=package, tokenizer=tokenizer)


def check_queue_holds(manifest: Manifest, *, queue_tokens: int) -> None:
    """ConfigError for a model whose longest input the queue could never hold."""
    if manifest.max_tokens > queue_tokens:
        raise ConfigError(
            f"queue_tokens is {queue_tokens}, but {manifest.name} takes inputs of {manifest.max_tokens} "
            "tokens; raise INTBERT_QUEUE_TOKENS"
        )


def describe(
    manifest: Manifest, package_sha256: str, engines: Mapping[str, Engine], *, default: bool
) -> dict[str, Any]:
    """One entry of GET /models. `default`: a request without a name gets this version."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "problem_type": manifest.problem_type,
        "labels": list(manifest.labels),
        "max_tokens": manifest.max_tokens,
        "default": default,
        "sha256": package_sha256,
        "variants": {name: _describe_variant(manifest, name, engines.get(name)) for name in manifest.variants},
        "architecture": manifest.architecture.model_dump(mode="json"),
        "card": manifest.card.model_dump(mode="json"),
    }


def _describe_variant(manifest: Manifest, name: str, engine: Engine | None) -> dict[str, Any]:
    variant = manifest.variants[name]
    return {
        "file": variant.file,
        "bytes": variant.bytes,
        "bytes_at_fp32": variant.bytes_at_fp32,
        "stored_dtype": variant.stored_dtype,
        "parameters": variant.parameters,
        "sha256": manifest.files[variant.file].sha256,
        "integer_only": variant.engine == "integer",
        "engine": engine.name if engine else ("native" if variant.engine == "integer" else "onnxruntime"),
        "loaded": engine is not None,
        "default": name == manifest.default_variant,
    }


def _check_vocabulary(package: Package, tokenizer: Tokenizer) -> None:
    """A token id beyond the embedding table would be found only by the request that has it."""
    rows = package.manifest.architecture.vocabulary
    if tokenizer.vocabulary > rows:
        raise TensorError(
            f"{package.directory}: the tokenizer knows {tokenizer.vocabulary} tokens, the model only {rows}; "
            "the files do not belong together",
            code="tokenizer_mismatch",
        )
