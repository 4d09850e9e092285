"""The life of a server: broken stores, shutdown without a lost request, settings from the environment."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import environment, run_server
from tests.api.packages import write_tiny
from tests.api.test_classify import check_problem
from tests.model.packages import edit_manifest, make_package

HALF_A_REQUEST = b"POST /qa HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"


def damage_byte(package: Path) -> None:
    content = bytearray((package / "int8.safetensors").read_bytes())
    content[-1] ^= 1
    (package / "int8.safetensors").write_bytes(content)


def remove_file(package: Path) -> None:
    (package / "tokenizer.json").unlink()


def add_file(package: Path) -> None:
    (package / "notes.txt").write_text("what is this")


def link_out(package: Path) -> None:
    (package / "fp32.onnx").unlink()
    (package / "fp32.onnx").symlink_to("/etc/hostname")


def raise_arithmetic(package: Path) -> None:
    manifest = json.loads((package / "manifest.json").read_text())
    (package / "manifest.json").write_text(json.dumps(manifest | {"arithmetic_version": 99}))


def no_json(package: Path) -> None:
    (package / "manifest.json").write_text("{")


def cut_short(package: Path) -> None:
    content = (package / "fp32.onnx").read_bytes()
    (package / "fp32.onnx").write_bytes(content[:-10])


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        (damage_byte, "hash_mismatch", "int8.safetensors"),
        (remove_file, "file_missing", "tokenizer.json"),
        (add_file, "file_extra", "notes.txt"),
        (link_out, "path_unsafe", "fp32.onnx"),
        (raise_arithmetic, "arithmetic_version_unknown", "99"),
        (no_json, "manifest_malformed", "manifest.json"),
        (cut_short, "size_mismatch", "fp32.onnx"),
        (shutil.rmtree, "config_invalid", "holds no model"),
    ],
)
def test_a_broken_store_is_never_ready_and_says_why(
    tmp_path: Path, spoil: Callable[[Path], None], code: str, named: str
) -> None:
    """The server lives, is not ready, and gives the reason to probes and to clients; each defect its own."""
    spoil(write_tiny(tmp_path).directory)
    with run_server(tmp_path, ready=False) as running, running.client() as client:
        assert client.get("/livez").status_code == 200
        for path in ("/readyz", "/startupz", "/models"):
            problem = check_problem(client.get(path), 503, code)
            assert named in problem["detail"], path
        response = client.post("/classify", json={"inputs": "good"})
        assert named in check_problem(response, 503, code)["detail"]
        assert int(response.headers["retry-after"]) >= 1
        failures = ("intbert_request_failures_total", (("reason", "unavailable"),))
        assert running.series()[failures] == 1
        assert running.wait_for("not ready")["code"] == code


def test_a_version_that_is_passed_over_is_logged_and_counted(tmp_path: Path) -> None:
    """An older version serves, the log says what is wrong with the newest, and an alert can see it."""
    make_package(tmp_path)
    edit_manifest(make_package(tmp_path, version="2", seed=2).directory, arithmetic_version=2)
    with run_server(tmp_path) as server, server.client() as client:
        assert client.post("/classify", json={"inputs": "good"}).json()["model"]["version"] == "1"
        assert "intbert_refused_versions 1.0" in client.get("/metrics").text
        told = server.wait_for("version passed over, an older one serves")
        assert (told["model"], told["version"], told["code"]) == ("tiny", "2", "arithmetic_version_unknown")


def test_sigterm_loses_no_request(tiny_store: Path) -> None:
    """Under load: not ready at once, every request that was sent is answered, then the end with code 0."""
    with run_server(tiny_store, drain_notice_s=0.5) as running:
        statuses: list[int] = []
        refused = threading.Event()
        threads = [threading.Thread(target=_ask_until_refused, args=(running.url, statuses, refused)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("draining")
        with running.client() as client:
            problem = check_problem(client.get("/readyz"), 503, "draining")
            assert "shutting down" in problem["detail"]
            response = client.post("/classify", json={"inputs": "good"})
            assert response.status_code == 200
            assert response.headers["connection"] == "close"
        assert running.process.wait(30) == 0
        for thread in threads:
            thread.join(30)
        assert len(statuses) >= 4
        assert set(statuses) == {200}
        assert running.wait_for("stopped")["everything_answered"] is True


def test_what_the_drains_bound_cuts_off_is_told_so(tiny_store: Path) -> None:
    """503 and draining, to the client and in the log; no traceback, and the last line is honest."""
    with run_server(tiny_store, drain_notice_s=0, drain_timeout_s=1) as running:
        url = httpx.URL(running.url)
        with socket.create_connection((url.host, url.port or 0), timeout=30) as client:
            client.sendall(HALF_A_REQUEST)
            running.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert running.process.wait(30) == 0
        assert running.wait_for("stopped", 5)["everything_answered"] is False
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    assert json.loads(body)["code"] == "draining"
    (line,) = [line for line in running.log if line["event"] == "request"]
    assert (line["status"], line["code"]) == (503, "draining")
    assert "Traceback" not in json.dumps(running.log)


def _ask_until_refused(url: str, statuses: list[int], refused: threading.Event) -> None:
    """Only a refused connection is an honest end: no accepted request may go without an answer."""
    with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client:
        while not refused.is_set():
            try:
                statuses.append(client.post("/classify", json={"inputs": ["good film"] * 3}).status_code)
            except httpx.ConnectError:
                refused.set()


def test_a_second_signal_skips_the_notice(tiny_store: Path) -> None:
    """Whoever presses Ctrl+C twice does not want to wait for load balancers."""
    with run_server(tiny_store, drain_notice_s=25, drain_timeout_s=26) as running:
        running.process.send_signal(signal.SIGINT)
        running.wait_for("draining")
        started_s = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(10) == 0
        assert time.monotonic() - started_s < 10


def test_forced_kernels_are_the_active_ones(tiny_store: Path) -> None:
    """INTBERT_KERNELS=portable serves with the portable set, to the same bits."""
    body = {"inputs": "good film", "parameters": {"return_digest": True}}
    with run_server(tiny_store) as running, running.client() as client:
        best = client.post("/classify", json=body).json()["digests"]
    with run_server(tiny_store, kernels="portable") as running, running.client() as client:
        assert client.get("/models").json()["machine"]["kernels"]["active"] == "portable"
        assert client.post("/classify", json=body).json()["digests"] == best


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kernels": "nonsense"}, "nonsense"),
        ({"batch_tokens": 100000, "queue_tokens": 1000}, "INTBERT_QUEUE_TOKENS"),
        ({"port": "eighty"}, "INTBERT_PORT"),
        ({"tokens": 3}, "INTBERT_TOKENS"),
        ({"host": "256.1.1.1", "port": 0}, "256.1.1.1"),
        ({"threads": 1024}, "INTBERT_THREADS"),
        ({"workers": 1024}, "1024 workers"),
        ({"queue_tokens": 63, "batch_tokens": 32}, "INTBERT_QUEUE_TOKENS"),
        ({"qa_model": "tiny"}, "it holds: tiny-qa"),
        ({"classify_model": "missing"}, "'missing'"),
        ({"api_keys": " , "}, "INTBERT_API_KEYS"),
    ],
)
def test_settings_that_cannot_work_end_the_start(tiny_store: Path, settings: dict[str, object], named: str) -> None:
    """One line that names the setting, exit code 2, no traceback, and nothing ever listens."""
    done = subprocess.run(
        [sys.executable, "-m", "intbert.cli", "serve", "--store", str(tiny_store)],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("intbert: ")]
    assert named in line
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stderr


def test_an_occupied_port_is_said(tiny_store: Path) -> None:
    """The most common mistake of all."""
    with run_server(tiny_store) as running:
        done = subprocess.run(
            [sys.executable, "-m", "intbert.cli", "serve", "--port", running.url.rpartition(":")[2]],
            env=environment(store=tiny_store),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "choose another --host or --port" in done.stderr


def test_logs_hold_no_texts(tiny_store: Path) -> None:
    """What users send is theirs: not in answers to others, not in logs, not even when it is refused."""
    with run_server(tiny_store, log_level="debug") as running:
        with running.client() as client:
            client.post("/classify", json={"inputs": "confidential film"})
            client.post("/classify", json={"inputs": "confidential " * 100})
            client.post("/classify", json={"inputs": [["confidential"]]})
        assert running.stop() == 0
        running.wait_for("stopped", 5)
    assert "confidential" not in json.dumps(running.log)
    assert [line["status"] for line in running.log if line["event"] == "request"] == [200, 422, 422]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_store_that_is_no_directory_ends_the_start(tmp_path: Path, kind: str) -> None:
    """Nothing there, or a file in its place: exit code 2 before anything listens, with the path."""
    if kind == "file":
        (tmp_path / kind).write_text("not a store")
    done = subprocess.run(
        [sys.executable, "-m", "intbert.cli", "serve", "--port", "0", "--store", str(tmp_path / kind)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert str(tmp_path / kind) in done.stderr
    assert "listening" not in done.stderr
