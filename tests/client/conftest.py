"""A real service on tiny packages, and a server that answers by script for what a healthy service never does."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import RunningServer, run_server
from tests.api.packages import write_tiny_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier tiny, versions 1 and 2, and the span question model tiny-qa."""
    return write_tiny_store(tmp_path_factory.mktemp("client_store"))


@pytest.fixture(scope="session")
def service(store: Path) -> Iterator[RunningServer]:
    """One service for all tests that leave it as it is."""
    with run_server(store, max_inputs=16) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """One answer; status 0 closes the connection without a word."""

    status: int
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True)
class Stage:
    """A running script; `seen` holds path and headers of every request."""

    url: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@contextmanager
def scripted(answers: Sequence[Scripted]) -> Iterator[Stage]:
    """Answer the requests one after the other; the last answer is repeated."""
    stage = Stage()
    script = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"] or 0))
            self.do_GET()

        def do_GET(self) -> None:
            stage.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = script.pop(0) if len(script) > 1 else script[0]
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("content-length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stage.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stage
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def problem(status: int, **members: Any) -> bytes:
    """A problem document."""
    return json.dumps({"status": status, "code": "some_code", "detail": "some detail", **members}).encode()
