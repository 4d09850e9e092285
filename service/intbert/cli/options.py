"""Options that several commands share, and the values behind them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from intbert.config import Settings, explained
from intbert.errors import UnavailableError
from intbert.model.package import Package
from intbert.model.store import ModelStore
from intbert.runtime.service import InferenceService, ServiceSettings

Store = Annotated[Path | None, typer.Option("--store", help=explained("store"))]
Config = Annotated[Path | None, typer.Option("--config", help=explained("config"))]
Kernels = Annotated[str | None, typer.Option("--kernels", help=explained("kernels"))]
Model = Annotated[str, typer.Argument(help="Name of a model in the store.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Version = Annotated[str | None, typer.Option("--version", help="Version of the model [default: the newest].")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help=explained("threads"))]


def open_package(settings: Settings, model: str, version: str | None) -> Package:
    """The verified package, by default of the newest version. NotFoundError, PackageError."""
    return ModelStore(settings.store).open(model, version)


def split_names(text: str) -> list[str]:
    """ "a,b" to ["a", "b"]."""
    return [part.strip() for part in text.split(",") if part.strip()]


def service_settings(settings: Settings) -> ServiceSettings:
    """The runtime's part of the settings, as values."""
    defaults: dict[str, Any] = {
        "text-classification": settings.classify_model,
        "question-answering": settings.qa_model,
    }
    return ServiceSettings(
        store=settings.store,
        default_models={task: name for task, name in defaults.items() if name is not None},
        kernels=settings.kernels,
        threads=settings.threads,
        workers=settings.workers,
        queue_tokens=settings.queue_tokens,
        batch_tokens=settings.batch_tokens,
        inputs_max=settings.max_inputs,
        timeout_s=settings.request_timeout_s,
        cache_bytes=settings.cache_bytes,
        shadow_rate=settings.shadow_rate,
    )


@contextmanager
def running_service(settings: Settings) -> Iterator[InferenceService]:
    """The service without HTTP, started and closed. UnavailableError with the reason when it can't start."""
    service = InferenceService(service_settings(settings))
    status = service.start()
    if not status.ready:
        raise UnavailableError(status.reason or f"the service is {status.state}", code=status.code)
    try:
        yield service
    finally:
        service.close(settings.drain_timeout_s)
