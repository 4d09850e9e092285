"""The server under test: one that runs already, or one of our own on a free port for the time of the run."""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ENDPOINTS = {"text-classification": "/classify", "question-answering": "/qa"}


class ServerError(Exception):
    """The server under test did not become ready; the message has the end of its log."""


@contextlib.contextmanager
def running_server(*, store: Path, ready_s: float = 60.0) -> Iterator[str]:
    """Start `intbert serve` on loopback, yield its address when it is ready, end it with SIGTERM."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = "from intbert.cli.entry import main; main()"
    command = [sys.executable, "-c", program, "serve", "--store", str(store), "--port", str(port)]
    with tempfile.TemporaryFile(mode="w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own program, no shell
        try:
            _wait_until_ready(url, process, log, ready_s)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def describe(url: str) -> dict[str, Any]:
    """What /models says about the server: models, versions, engines. Raises ServerError when it can't be asked."""
    try:
        answer = httpx.get(f"{url}/models", timeout=10, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise ServerError(f"{url}/models does not answer: {type(error).__name__}: {error}") from error
    return {"models": answer} if isinstance(answer, list) else dict(answer)


def endpoints_of(server: Mapping[str, Any], variants: Sequence[str]) -> list[str]:
    """Endpoints for which the server has a model with all `variants`. Raises ServerError when there is none."""
    endpoints = {
        ENDPOINTS[model["task"]]
        for model in server["models"]
        if model["task"] in ENDPOINTS and set(variants) <= set(model["variants"])
    }
    if not endpoints:
        raise ServerError(f"the server has no model with all of the variants {', '.join(variants)}")
    return sorted(endpoints)


def free_port() -> int:
    """Free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Any, ready_s: float) -> None:
    deadline_s = time.monotonic() + ready_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError, json.JSONDecodeError):
            if httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    log.seek(0)
    raise ServerError(f"the server did not become ready within {ready_s} s; it said:\n{log.read()[-2000:]}")
