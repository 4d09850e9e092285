"""serve, classify."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from intbert.cli.options import AsJson, Config, Kernels, Store, Threads, Version, running_service, service_settings
from intbert.cli.output import print_json, print_table
from intbert.config import Settings, explained, load_settings, variable
from intbert.errors import InputError
from intbert.version import package_version

if TYPE_CHECKING:
    from intbert.telemetry.traces import Traces

HELP_COLUMNS = 76


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=_all_settings())(serve)
    app.command()(classify)


def serve(
    store: Store = None,
    host: Annotated[str | None, typer.Option(help=explained("host"))] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help=explained("port"))] = None,
    kernels: Kernels = None,
    threads: Threads = None,
    workers: Annotated[int | None, typer.Option(min=1, help=explained("workers"))] = None,
    log_format: Annotated[Literal["json", "console"] | None, typer.Option(help=explained("log_format"))] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(help=explained("log_level"))
    ] = None,
    config: Config = None,
) -> None:
    """Serve the models of the store over HTTP. An option wins over its variable, a variable over the file."""
    _serve(
        load_settings(
            store=store,
            host=host,
            port=port,
            kernels=kernels,
            threads=threads,
            workers=workers,
            log_format=log_format,
            log_level=log_level,
            config=config,
        )
    )


def _all_settings() -> str:
    """Every setting by its variable, for the end of the help. A \\b keeps click from filling the lines."""
    intro = (
        "All settings. As variables they have the names below; in the file of --config they are keys without INTBERT_ "
        "and in lower case: queue_tokens = 32768."
    )
    indent = " " * 4
    entries = [
        f"{variable(name)}\n{fill(explained(name), HELP_COLUMNS, initial_indent=indent, subsequent_indent=indent)}"
        for name in Settings.model_fields
    ]
    return "\n".join((intro, "", "\b", *entries))


def _serve(settings: Settings) -> None:
    """The composition root of the service."""
    from prometheus_client import CollectorRegistry

    from intbert.api.app import create_app
    from intbert.api.server import serve as serve_app
    from intbert.runtime.preflight import check_start
    from intbert.runtime.service import InferenceService
    from intbert.telemetry.logs import make_logger
    from intbert.telemetry.metrics import Metrics

    check_start(service_settings(settings))
    logger = make_logger(log_format=settings.log_format, level=settings.log_level)
    traces = _make_traces(settings)
    metrics = Metrics(CollectorRegistry())
    service = InferenceService(service_settings(settings), metrics)
    serve_app(create_app(service, settings, metrics, logger, traces), service, settings, logger)


def _make_traces(settings: Settings) -> "Traces | None":
    """Only with an endpoint is anything of OpenTelemetry imported."""
    if settings.traces_endpoint is None:
        return None
    from intbert.telemetry.traces import Traces

    return Traces(settings.traces_endpoint, version=package_version())


def classify(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", show_default=False)],
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Second text of a pair; then give one TEXT.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model [default: the one for classification].")] = None,
    version: Version = None,
    variant: Annotated[str | None, typer.Option(help="int8, fp32, ... [default: the model's].")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Number of labels [default: all].")] = None,
    truncate: Annotated[bool, typer.Option("--truncate", help="Drop the end of a text that is too long.")] = False,
    digest: Annotated[bool, typer.Option("--digest", help="Add the SHA-256 of the int32 logits.")] = False,
    store: Store = None,
    kernels: Kernels = None,
    json: AsJson = False,
) -> None:
    """Classify texts, without a server."""
    from intbert.runtime.answers import document
    from intbert.runtime.classify import ClassifyParameters, TextInput

    if text_pair is not None and len(texts) > 1:
        raise InputError(f"--text-pair needs exactly one TEXT, got {len(texts)}", code="invalid_parameter")
    settings = load_settings(store=store, kernels=kernels, classify_model=model)
    with running_service(settings) as service, _truncate_advised():
        result = service.classify_now(
            [TextInput(text=text, text_pair=text_pair) for text in texts],
            ClassifyParameters(
                model=model,
                version=version,
                variant=variant,
                top_k=top_k,
                truncation="truncate" if truncate else "error",
                return_digest=digest,
            ),
        )
    if json:
        print_json(document(result))
        return
    rows = [
        (f"{best.score:.4f}", best.label, *([result.digests[index][:16]] if result.digests else []), text)
        for index, (text, labels) in enumerate(zip(texts, result.results, strict=True))
        for best in labels[: top_k or 1]
    ]
    print_table(("score", "label", *(["digest"] if result.digests else []), "text"), rows)


@contextmanager
def _truncate_advised() -> Iterator[None]:
    """A text that is too long is refused with the option that would cut it."""
    try:
        yield
    except InputError as error:
        raise error.with_advice("add --truncate") if error.can_be_cut else error from None
