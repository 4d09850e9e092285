"""Traces as a collector gets them: a real one, as far as its receiver goes, and a server with one setting."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.api.conftest import RunningServer, environment, run_server

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "unmistakable"
STAGES = ["tokenize", "queue", "compute", "post"]


class Receiver(ThreadingHTTPServer):
    """The receiving end of OTLP over HTTP: keeps what was exported."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.exports: list[ExportTraceServiceRequest] = []
        self.raw = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Span]:
        """All that came, in order of their beginning."""
        found = [s for e in self.exports for r in e.resource_spans for scope in r.scope_spans for s in scope.spans]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.raw += body
        if self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf":
            self.server.exports.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listening until the block ends."""
    with Receiver() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, Any]:
    """Plain values."""
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


@pytest.fixture(scope="module")
def traced(tiny_store: Path) -> Iterator[tuple[Receiver, list[dict[str, Any]]]]:
    """What a collector has after five requests and a shutdown, and the server's log."""
    with receiver() as collector:
        with run_server(tiny_store, traces_endpoint=collector.url) as server:
            ask(server)
        yield collector, server.log


def ask(server: RunningServer) -> None:
    """A caller with a trace, one without, one that does not want any, one that fails, one that compares."""
    body = {"inputs": f"{SECRET} film"}
    caller = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=value", "x-request-id": "first"}
    with server.client() as client:
        assert client.post("/classify", json=body, headers=caller).status_code == 200
        assert client.post("/classify", json=body, headers={"x-request-id": "second"}).status_code == 200
        unwanted = {"traceparent": f"00-{TRACE}-{CALLER}-00", "x-request-id": "unwanted"}
        assert client.post("/classify", json=body, headers=unwanted).status_code == 200
        question = {"question": SECRET, "context": SECRET, "nonsense": SECRET}
        assert client.post("/qa", json=question, headers={"x-request-id": "refused"}).status_code == 422
        compare = body | {"task": "text-classification"}
        assert client.post("/compare", json=compare, headers={"x-request-id": "both"}).status_code == 200
        assert client.get("/readyz").status_code == 200


def root_of(collector: Receiver, request_id: str) -> Span:
    """The span of a request."""
    (root,) = [span for span in collector.spans() if attributes(span).get("intbert.request_id") == request_id]
    return root


def parts_of(collector: Receiver, root: Span) -> list[Span]:
    """Its stages."""
    return [span for span in collector.spans() if span.parent_span_id == root.span_id]


def test_a_request_continues_its_callers_trace(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """Its span is a child of the caller's, its stages lie inside of it in their order, and the log names the trace."""
    collector, log = traced
    root = root_of(collector, "first")
    assert (root.trace_id.hex(), root.parent_span_id.hex(), root.trace_state) == (TRACE, CALLER, "vendor=value")
    assert (root.name, root.kind) == ("POST /classify", Span.SPAN_KIND_SERVER)
    told = attributes(root)
    assert (told["http.response.status_code"], told["http.route"]) == (200, "/classify")
    assert (told["intbert.model"], told["intbert.version"], told["intbert.variant"]) == ("tiny", "2", "int8")
    parts = parts_of(collector, root)
    assert [part.name for part in parts] == STAGES
    for part in parts:
        assert part.trace_id == root.trace_id
        assert root.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
        assert part.end_time_unix_nano <= root.end_time_unix_nano
    assert abs(root.end_time_unix_nano / 1e9 - time.time()) < 60
    (line,) = [entry for entry in log if entry.get("request_id") == "first"]
    assert line["trace_id"] == TRACE


def test_a_request_without_a_trace_begins_one(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """It has no parent, and an id of its own."""
    root = root_of(traced[0], "second")
    assert not root.parent_span_id
    assert root.trace_id.hex() != TRACE
    assert len(root.trace_id) == 16


def test_a_caller_that_does_not_sample_is_respected(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """The flag in traceparent is 00: nothing is sent; nor is anything of probes."""
    spans = traced[0].spans()
    assert "unwanted" not in [attributes(span).get("intbert.request_id") for span in spans]
    assert {span.name for span in spans} == {"POST /classify", "POST /qa", "POST /compare", *STAGES}


def test_a_refusal_says_its_code_and_is_no_fault(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """The status of a server's span is an error only when the server is at fault."""
    root = root_of(traced[0], "refused")
    told = attributes(root)
    assert (told["http.response.status_code"], told["error.type"]) == (422, "invalid_request")
    assert root.status.code == 0
    assert not parts_of(traced[0], root)


def test_a_comparison_has_the_stages_of_every_variant(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """One after the other, each with its variant."""
    parts = parts_of(traced[0], root_of(traced[0], "both"))
    assert [(attributes(part)["intbert.variant"], part.name) for part in parts] == [
        (variant, stage) for variant in ("int8", "fp32") for stage in STAGES
    ]


def test_spans_hold_no_texts(traced: tuple[Receiver, list[dict[str, Any]]]) -> None:
    """Neither answered nor refused ones; and the service says who it is."""
    collector, _ = traced
    assert collector.exports
    assert SECRET.encode() not in collector.raw
    resource = collector.exports[0].resource_spans[0].resource
    assert {item.key: item.value.string_value for item in resource.attributes}["service.name"] == "intbert"


def test_a_collector_that_is_gone_costs_no_request_and_no_shutdown(tiny_store: Path) -> None:
    """Answers as ever; the end waits for the spans no longer than its bound."""
    with receiver() as gone:
        url = gone.url
    with run_server(tiny_store, traces_endpoint=url, drain_notice_s=0) as server:
        with server.client() as client:
            assert client.post("/classify", json={"inputs": "film"}).status_code == 200
        started_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started_s < 8
    assert any(entry.get("logger", "").startswith("opentelemetry") for entry in server.log)


def test_without_an_endpoint_nothing_of_it_is_imported(tiny_store: Path) -> None:
    """Off costs nothing: neither SDK nor exporter. (Some versions of FastAPI import the API where it is installed.)"""
    program = (
        "import sys; from pathlib import Path; from prometheus_client import CollectorRegistry\n"
        "from intbert.api.app import create_app; from intbert.config import Settings\n"
        "from intbert.runtime.service import InferenceService; from intbert.telemetry.metrics import Metrics\n"
        "from intbert.cli.options import service_settings; from intbert.telemetry.logs import make_logger\n"
        "import intbert.api.server, intbert.cli.inference\n"
        f"settings = Settings(store=Path({str(tiny_store)!r})); metrics = Metrics(CollectorRegistry())\n"
        "create_app(InferenceService(service_settings(settings), metrics), settings, metrics,"
        " make_logger(log_format='json', level='info'))\n"
        "print([n for n in sys.modules if n.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://"])
def test_an_endpoint_that_is_no_address_ends_the_start(tiny_store: Path, endpoint: str) -> None:
    """With the variable's name and an example."""
    command = [sys.executable, "-m", "intbert.cli", "serve", "--store", str(tiny_store), "--port", "0"]
    done = subprocess.run(command, env=environment(traces_endpoint=endpoint), capture_output=True, text=True)
    assert done.returncode == 2
    assert "INTBERT_TRACES_ENDPOINT" in done.stderr
    assert "http://localhost:4318" in done.stderr
