"""Settings against this machine and this store, before anything listens: what no waiting would mend ends the start.

Only manifests are read. A damaged package is no matter of settings: the service then lives, is not ready, and says why.
"""

from intbert.errors import ConfigError, NotFoundError, PackageError
from intbert.model.manifest import Manifest
from intbert.model.package import parse_manifest, read_manifest_bytes
from intbert.model.store import ModelStore
from intbert.runtime.catalog import check_queue_holds
from intbert.runtime.native import choose_kernels
from intbert.runtime.service import ServiceSettings
from intbert.runtime.threads import plan_threads, read_machine


def check_start(settings: ServiceSettings) -> None:
    """Quick. ConfigError, KernelError, or NotFoundError (store_not_found), each with the value and the reason."""
    choose_kernels(settings.kernels)
    plan_threads(read_machine(), threads=settings.threads, workers=settings.workers)
    try:
        newest = _newest(ModelStore(settings.store))
    except (PackageError, OSError):  # a store that is damaged as a whole: the load finds the same, and says it
        return
    _check_defaults(settings, newest)
    for manifest in newest.values():
        if manifest is not None:
            check_queue_holds(manifest, queue_tokens=settings.queue_tokens)


def _newest(store: ModelStore) -> dict[str, Manifest | None]:
    """Of every model the newest manifest that can be read; None if none can. NotFoundError without a store."""
    return {name: _manifest(store, name) for name in store.models()}


def _manifest(store: ModelStore, name: str) -> Manifest | None:
    for version in reversed(store.versions(name)):
        try:
            path = store.path(name, version)
            return parse_manifest(read_manifest_bytes(path), path)
        except (PackageError, NotFoundError, OSError):
            continue
    return None


def _check_defaults(settings: ServiceSettings, newest: dict[str, Manifest | None]) -> None:
    """Every model that a setting names is there, and for that task."""
    for task, name in settings.default_models.items():
        manifest = newest.get(name)
        if name in newest and (manifest is None or manifest.task == task):
            continue
        fitting = sorted(model for model, known in newest.items() if known is not None and known.task == task)
        raise ConfigError(
            f"the default model for {task} is {name!r}, which the store {settings.store} does not hold for that task; "
            f"it holds: {', '.join(fitting) or 'none'}"
        )
