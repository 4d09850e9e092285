"""Traces by OpenTelemetry: a span for each inference request and for each of its stages, sent by OTLP over HTTP.

The spans are made when a request has ended, from the times that the service keeps anyway: without an endpoint nothing
of OpenTelemetry is imported and a request pays one comparison. No span holds a text. The context of the caller is read
as W3C Trace Context says (https://www.w3.org/TR/trace-context/); names of attributes are those of the semantic
conventions for HTTP servers where there is one.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intbert.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attributes = Mapping[str, str | int]
SERVICE_NAME = "intbert"
PATH = "/v1/traces"
EXPORT_TIMEOUT_S = 5.0
CONTEXT_HEADERS = (b"traceparent", b"tracestate")
LOGGER_NAME = "opentelemetry"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of a request; times are monotonic seconds."""

    name: str
    begun_s: float
    ended_s: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TracedRequest:
    """One request that has ended; `fault` when it was ours that it failed. Times are monotonic seconds."""

    name: str
    headers: Iterable[tuple[bytes, bytes]]  # names in lower case, as ASGI has them
    begun_s: float
    ended_s: float
    attributes: Attributes
    stages: Iterable[Stage]
    fault: bool


class Traces:
    """Thread-safe. A bounded queue is emptied by a thread of OpenTelemetry's; what does not fit is dropped."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        """`endpoint`: of the collector, for example http://localhost:4318. ConfigError without OpenTelemetry."""
        try:
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            self._provider = _provider(traces_url(endpoint), version)
        except ImportError as error:
            advice = "pip install 'intbert[traces]', or unset INTBERT_TRACES_ENDPOINT"
            raise ConfigError(f"traces need OpenTelemetry, which is not installed ({error}): {advice}") from error
        self._tracer = self._provider.get_tracer(SERVICE_NAME, version)
        self._propagator = TraceContextTextMapPropagator()

    def add(self, request: TracedRequest) -> str:
        """Queue the spans of a request; the trace's id in hexadecimal."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        offset_ns = _unix_offset_ns()
        sent = {name.decode(): value.decode("latin-1") for name, value in request.headers if name in CONTEXT_HEADERS}
        span = self._tracer.start_span(
            request.name,
            context=self._propagator.extract(sent),
            kind=SpanKind.SERVER,
            attributes=request.attributes,
            start_time=offset_ns + _ns(request.begun_s),
        )
        inside = set_span_in_context(span)
        for stage in request.stages if span.is_recording() else ():
            part = self._tracer.start_span(
                stage.name, context=inside, attributes=stage.attributes, start_time=offset_ns + _ns(stage.begun_s)
            )
            part.end(offset_ns + _ns(stage.ended_s))
        if request.fault:
            span.set_status(StatusCode.ERROR)
        span.end(offset_ns + _ns(request.ended_s))
        return f"{span.get_span_context().trace_id:032x}"

    def close(self, timeout_s: float) -> None:
        """Send what waits; give up after `timeout_s`, whatever the collector does."""
        sending = threading.Thread(target=self._provider.shutdown, name="intbert-traces-end", daemon=True)
        sending.start()
        sending.join(timeout_s)


def traces_url(endpoint: str) -> str:
    """The collector's address with the path for traces, unless it names a path itself."""
    base = endpoint.rstrip("/")
    return base if "/" in base.partition("://")[2] else base + PATH


def _provider(url: str, version: str) -> "TracerProvider":
    """Not the global one: nothing else in the process is traced."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = Resource.create({"service.name": SERVICE_NAME, "service.version": version})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)))
    return provider


def _unix_offset_ns() -> int:
    """What to add to monotonic time to get Unix time, now."""
    return time.time_ns() - time.monotonic_ns()


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
