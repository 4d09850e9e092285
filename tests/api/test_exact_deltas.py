"""One request changes exactly these series by exactly this much, at both tasks, for every way in which it can end."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from intbert.model.package import Package
from tests.api.conftest import RunningServer, run_server
from tests.api.packages import float_model, float_span_model, write_tiny, write_tiny_qa
from tests.api.test_metrics_on_the_wire import changes

LONG = "good film " * 100
WORKS: dict[str, dict[str, Any]] = {
    "/classify": {"inputs": "good film"},
    "/qa": {"question": "film ?", "context": "the film is good"},
}
MODEL = {"/classify": "tiny", "/qa": "tiny-qa"}
STAGES = ("request", "tokenize", "queue", "compute", "postprocess")
paths = pytest.mark.parametrize("path", sorted(WORKS))


def post(server: RunningServer, path: str, body: Any, **headers: str) -> httpx.Response:
    with server.client() as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(path, content=content, headers={"content-type": "application/json"} | headers)


def settled(server: RunningServer, expected: dict[str, float], act: Callable[[], object]) -> dict[str, float]:
    """What `act` changed. Workers report a batch just after its answer: wait for what is expected, then for more."""
    before = server.series()
    act()
    for _ in range(100):
        changed = changes(before, server.series())
        changed = {name: value for name, value in changed.items() if not name.startswith("variant_arena_bytes")}
        if changed == expected:
            break
        time.sleep(0.02)
    return changed


@paths
def test_an_answer(server: RunningServer, path: str) -> None:
    """One request, one of each stage, one batch with its tokens; a question its windows."""
    post(server, path, WORKS[path])
    name = MODEL[path]
    version = "2" if path == "/classify" else "1"
    tokens = {"/classify": 4, "/qa": 9}[path]
    expected = {
        f"requests_total(200,{path},{name},int8,{version})": 1,
        **{f"{stage}_duration_seconds_count({name},int8)": 1 for stage in STAGES},
        **{f"{what}_count({name},int8)": 1 for what in ("request_tokens", "batch_tokens", "batch_sequences")},
        **{f"{what}_sum({name},int8)": tokens for what in ("request_tokens", "batch_tokens")},
        f"batch_sequences_sum({name},int8)": 1,
        f"batch_padding_ratio_count({name},int8)": 1,
    }
    if path == "/qa":
        expected |= {f"qa_windows_count({name},int8)": 1, f"qa_windows_sum({name},int8)": 1}
    assert settled(server, expected, lambda: post(server, path, WORKS[path])) == expected


REFUSALS: list[tuple[str, Any, int, str, bool]] = [
    ("/classify", b"{", 400, "invalid", False),
    ("/classify", {"inputs": "a", "parameters": {"model": "nope"}}, 404, "invalid", False),
    ("/classify", {"inputs": ["a"] * 17}, 413, "invalid", False),
    ("/classify", {"inputs": "a", "nonsense": 1}, 422, "invalid", False),
    ("/classify", {"inputs": " "}, 422, "invalid", True),
    ("/classify", {"inputs": LONG}, 422, "too_long", True),
    ("/qa", b"{", 400, "invalid", False),
    ("/qa", WORKS["/qa"] | {"parameters": {"version": "9"}}, 404, "invalid", False),
    ("/qa", {"inputs": [WORKS["/qa"]] * 17}, 413, "invalid", False),
    ("/qa", {"question": "film ?"}, 422, "invalid", False),
    ("/qa", {"question": " ", "context": "film"}, 422, "invalid", True),
    ("/qa", {"question": "film ?", "context": LONG, "parameters": {"truncation": "error"}}, 422, "too_long", True),
]


@pytest.mark.parametrize(("path", "body", "code", "reason", "resolved"), REFUSALS)
def test_a_refusal(server: RunningServer, path: str, body: Any, code: int, reason: str, resolved: bool) -> None:
    """One request with its status, one failure with its reason; a duration where the variant is known, no stage."""
    name, version = MODEL[path], "2" if path == "/classify" else "1"
    expected = failed(path, code, reason, f"{name},int8,{version}" if resolved else ",,")
    if resolved:
        expected[f"request_duration_seconds_count({name},int8)"] = 1
    assert settled(server, expected, lambda: post(server, path, body)) == expected


def failed(path: str, code: int, reason: str, target: str = ",,") -> dict[str, float]:
    return {f"requests_total({code},{path},{target})": 1, f"request_failures_total({reason})": 1}


@paths
def test_a_body_of_another_type(server: RunningServer, path: str) -> None:
    """415 is a failure of nobody's variant."""
    with server.client() as client:
        expected = failed(path, 415, "invalid")
        assert settled(server, expected, lambda: client.post(path, content=b"x")) == expected


@paths
def test_a_deadline(server: RunningServer, path: str) -> None:
    """One request and one failure; each of its sequences was computed or dropped, and none is lost."""
    name, version = MODEL[path], "2" if path == "/classify" else "1"
    one = {"/classify": "good film " * 25, "/qa": {"question": "film ?", "context": "good film " * 25}}[path]
    body = {"inputs": [one] * 16, "parameters": {"timeout_ms": 1}}
    expected = failed(path, 504, "deadline", f"{name},int8,{version}")
    expected[f"request_duration_seconds_count({name},int8)"] = 1
    before = server.series()
    response = post(server, path, body)
    assert response.status_code == 504
    for _ in range(100):
        changed = changes(before, server.series())
        dropped = {n: changed.pop(n) for n in list(changed) if n.startswith("dropped_items_total")}
        computed = changed.pop(f"batch_sequences_sum({name},int8)", 0)
        if computed + sum(dropped.values()) == 16 and "queue_tokens()" not in changed:
            break
        time.sleep(0.02)
    assert computed + sum(dropped.values()) == 16
    assert all("deadline" in n or "cancelled" in n for n in dropped)
    rest = {n: v for n, v in changed.items() if not n.startswith(("batch_", "variant_arena_bytes"))}
    assert rest == expected


@contextmanager
def half_sent(server: RunningServer, path: str) -> Iterator[socket.socket]:
    """A request whose body does not end."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        connection.sendall(head.encode())
        while server.series()[("intbert_inflight_requests", ())] < 1:
            time.sleep(0.005)
        yield connection


@pytest.fixture(scope="module")
def narrow(tiny_store: Path) -> Iterator[RunningServer]:
    """One request at a time."""
    with run_server(tiny_store, max_requests=1, request_timeout_s=20) as running:
        yield running


@paths
def test_an_overload(narrow: RunningServer, path: str) -> None:
    """The one too many is counted, and the one that is being answered is not touched."""
    with half_sent(narrow, path):
        expected = failed(path, 429, "overloaded")
        assert settled(narrow, expected, lambda: post(narrow, path, WORKS[path])) == expected


@paths
def test_a_client_that_leaves(narrow: RunningServer, path: str) -> None:
    """499 is on no wire and in the metrics all the same; nothing stays in flight."""

    def leave() -> None:
        with half_sent(narrow, path):
            pass

    while narrow.series()[("intbert_inflight_requests", ())]:
        time.sleep(0.005)
    expected = failed(path, 499, "cancelled")
    assert settled(narrow, expected, leave) == expected


@paths
def test_a_server_without_models(tmp_path: Path, path: str) -> None:
    """Unavailable, to no variant."""
    (tmp_path / "empty").mkdir()
    with run_server(tmp_path / "empty", ready=False) as running:
        expected = failed(path, 503, "unavailable")
        assert settled(running, expected, lambda: post(running, path, WORKS[path])) == expected


def with_few_words(package: Package, model: bytes) -> None:
    """Its float model knows 30 tokens only, so ONNX Runtime fails on any other: a fault of the server's side."""
    (package.directory / "fp32.onnx").write_bytes(model)
    path = package.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["fp32.onnx"] = {"bytes": len(model), "sha256": sha256(model).hexdigest()}
    manifest["variants"]["fp32"]["bytes"] = len(model)
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Both tasks, with an FP32 variant that breaks on letters."""
    store = tmp_path_factory.mktemp("faulty")
    with_few_words(write_tiny(store), float_model(30, 2))
    with_few_words(write_tiny_qa(store), float_span_model(30))
    with run_server(store) as running:
        yield running


@paths
def test_a_fault_of_ours(faulty: RunningServer, path: str) -> None:
    """500 and internal, at the variant that failed; the sequence counts as lost; the next request is answered."""
    name = MODEL[path]
    fp32 = {"parameters": {"variant": "fp32"}}
    body = {"/classify": {"inputs": "z"}, "/qa": {"question": "z", "context": "film"}}[path] | fp32
    harmless = {"/classify": {"inputs": "film"}, "/qa": {"question": "film", "context": "good film"}}[path] | fp32
    assert post(faulty, path, harmless).status_code == 200
    expected = failed(path, 500, "internal", f"{name},fp32,1")
    expected[f"request_duration_seconds_count({name},fp32)"] = 1
    expected[f"dropped_items_total({name},internal,fp32)"] = 1
    assert settled(faulty, expected, lambda: post(faulty, path, body)) == expected
    assert post(faulty, path, WORKS[path]).status_code == 200


def test_a_shadow_comparison(tiny_store: Path) -> None:
    """The request's own series as without it, and beside them one input compared on one FP32 batch."""
    with run_server(tiny_store, shadow_rate=1, classify_model="tiny") as running:
        post(running, "/classify", WORKS["/classify"])
        time.sleep(0.3)
        before = running.series()
        post(running, "/classify", WORKS["/classify"])
        for _ in range(200):
            changed = changes(before, running.series())
            if "shadow_comparisons_total(tiny,int8)" in changed and "batch_tokens_sum(tiny,fp32)" in changed:
                break
            time.sleep(0.02)
        shadow = {n: v for n, v in changed.items() if "shadow" in n or "fp32" in n}
        assert shadow.pop("shadow_logit_abs_diff_sum(tiny,int8)") > 0
        assert shadow.pop("shadow_label_disagreements_total(tiny,int8)", 1) == 1
        shadow = {n: v for n, v in shadow.items() if not n.startswith("variant_arena_bytes")}
        assert shadow == {
            "shadow_comparisons_total(tiny,int8)": 1,
            "shadow_logit_abs_diff_count(tiny,int8)": 1,
            **{f"batch_{what}_count(tiny,fp32)": 1 for what in ("tokens", "sequences", "padding_ratio")},
            "batch_tokens_sum(tiny,fp32)": 4,
            "batch_sequences_sum(tiny,fp32)": 1,
        }
        assert changed["requests_total(200,/classify,tiny,int8,2)"] == 1
