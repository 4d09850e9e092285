"""Logs: one line an event on stderr, JSON or for the console. Texts of users are never logged.

Nothing global is configured: the application gets its logger from `make_logger`; records of uvicorn and other libraries
reach the same stream through a handler that `log_libraries` attaches to the named loggers.
"""

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, TextIO

import structlog
from pydantic_core import to_json

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def make_logger(
    *, log_format: LogFormat, level: LogLevel, stream: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """A logger that writes to `stream` (stderr)."""
    target = sys.stderr if stream is None else stream
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(target),
        processors=_processors(log_format, target),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def log_libraries(names: Sequence[str], logger: structlog.typing.FilteringBoundLogger, *, level: LogLevel) -> None:
    """Send the standard library's records of the loggers `names` through `logger`."""
    for name in names:
        library = logging.getLogger(name)
        library.handlers = [_Forward(logger)]
        library.setLevel(level.upper())
        library.propagate = False


class _Forward(logging.Handler):
    """Hands a standard record on; an exception becomes text inside the same line."""

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._logger.log(record.levelno, record.getMessage(), **fields)


def _processors(log_format: LogFormat, stream: TextIO) -> list[structlog.typing.Processor]:
    common: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _tidy,
        _escape,
    ]
    if log_format == "json":
        return [*common, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    return [
        *common,
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="time"
        ),
    ]


def _json(event: Any, **_: Any) -> str:
    """Several times as fast as the standard library's; what JSON does not know becomes text."""
    return to_json(event, fallback=str).decode()


def _tidy(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how grave and what come first; fractions to three places: enough, and readable."""
    ordered = {name: event[name] for name in ("time", "level", "event")} | dict(event)
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in ordered.items()}


def _escape(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What clients choose, such as a path, can neither colour a terminal nor begin a line of its own."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event
