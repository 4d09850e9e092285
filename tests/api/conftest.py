"""Real servers in processes of their own, on tiny packages."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.packages import write_tiny_store

START_S = 60.0
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(kw_only=True)
class RunningServer:
    """One `intbert serve`; `log` grows while it runs."""

    process: "subprocess.Popen[str]"
    url: str
    log: list[dict[str, Any]]

    def client(self, **options: Any) -> httpx.Client:
        """A client of this server; proxies of the machine are none of its business."""
        return httpx.Client(base_url=self.url, timeout=60.0, trust_env=False, **options)

    def series(self) -> Series:
        """All samples of /metrics."""
        with self.client() as client:
            text = client.get("/metrics").text
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def wait_for(self, event: str, timeout_s: float = START_S) -> dict[str, Any]:
        """The first log line of that event."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            for line in self.log:
                if line["event"] == event:
                    return line
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.log}")
            time.sleep(0.01)
        raise AssertionError(f"no {event!r} within {timeout_s} s: {self.log}")


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with exactly these settings of ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTBERT_")}
    return inherited | {f"INTBERT_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def run_server(store: Path, *, ready: bool = True, **settings: object) -> Iterator[RunningServer]:
    """Serve `store` on a free port until the block ends. With `ready`, requests are welcome when the block begins."""
    command = [sys.executable, "-m", "intbert.cli", "serve", "--store", str(store), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--log-format", "json"],
        env=environment(**settings),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    log: list[dict[str, Any]] = []
    addresses: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read_log, args=(process, log, addresses), daemon=True)
    reader.start()
    try:
        server = RunningServer(process=process, url=addresses.get(timeout=START_S), log=log)
        server.wait_for("ready" if ready else "not ready")
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10.0)
        if process.stderr is not None:
            process.stderr.close()


def _read_log(process: "subprocess.Popen[str]", log: list[dict[str, Any]], addresses: "queue.Queue[str]") -> None:
    for line in process.stderr or ():
        entry = json.loads(line) if line.startswith("{") else {"event": line.rstrip()}
        log.append(entry)
        if entry["event"] == "listening":
            addresses.put(entry["address"])


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the classifier tiny, versions 1 and 2, and the span question model tiny-qa."""
    return write_tiny_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def server(tiny_store: Path) -> Iterator[RunningServer]:
    """One server for all tests that leave it as it is."""
    with run_server(tiny_store, max_inputs=16, max_body_bytes=20000) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of the shared server."""
    with server.client() as running:
        yield running
