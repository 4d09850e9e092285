"""What one request changes in /metrics: exactly these series, by exactly this much."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import RunningServer, Series

# These change by themselves: the process, its clock, and workers that tick.
RESTLESS = ("intbert_process_", "intbert_worker_", "intbert_cgroup_", "intbert_queue_oldest_age")


def changes(before: Series, after: Series) -> dict[str, float]:
    """`name{labels}` -> difference, for everything but buckets, seconds and what changes by itself."""
    return {
        _name(key): value - before.get(key, 0.0)
        for key, value in after.items()
        if value != before.get(key, 0.0)
        and not key[0].endswith(("_bucket", "_seconds_sum", "_seconds_total", "_created"))
        and not key[0].startswith(RESTLESS)
    }


def _name(key: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    labels = ",".join(value for _, value in key[1])
    return f"{key[0].removeprefix('intbert_')}({labels})"


def send(server: RunningServer, body: Any) -> tuple[httpx.Response, dict[str, float]]:
    """The response and what it changed."""
    with server.client() as client:
        client.post("/classify", json={"inputs": "warm", "parameters": {"variant": "fp32"}})
        client.post("/classify", json={"inputs": "warm"})
    before = server.series()
    with server.client() as client:
        response = client.post("/classify", json=body)
    return response, changes(before, server.series())


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_one_request_of_two_inputs(server: RunningServer, variant: str) -> None:
    """One request, one of each stage, its tokens; batches hold the same tokens, however they were cut."""
    _, changed = send(server, {"inputs": ["good film", "bad"], "parameters": {"variant": variant}})
    batches = changed.pop(f"batch_tokens_count(tiny,{variant})")
    assert batches in (1, 2)
    assert changed.pop(f"batch_sequences_count(tiny,{variant})") == batches
    assert changed.pop(f"batch_padding_ratio_count(tiny,{variant})") == batches
    changed.pop(f"batch_padding_ratio_sum(tiny,{variant})", None)
    # The other worker's buffers grow with the first batch that it gets, whenever that is.
    assert changed.pop(f"variant_arena_bytes(tiny,{variant},2)", 0) >= 0
    stages = ("request", "tokenize", "queue", "compute", "postprocess")
    assert changed == {
        f"requests_total(200,/classify,tiny,{variant},2)": 1,
        **{f"{stage}_duration_seconds_count(tiny,{variant})": 1 for stage in stages},
        f"request_tokens_count(tiny,{variant})": 1,
        f"request_tokens_sum(tiny,{variant})": 7,
        f"batch_tokens_sum(tiny,{variant})": 7,
        f"batch_sequences_sum(tiny,{variant})": 2,
    }


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ({"inputs": ""}, 422, "invalid"),
        ({"inputs": "good " * 100}, 422, "too_long"),
        ({"inputs": "a", "parameters": {"model": "nope"}}, 404, "invalid"),
        ({"nonsense": 1}, 422, "invalid"),
        ({"inputs": ["a"] * 17}, 413, "invalid"),
    ],
)
def test_one_refusal(server: RunningServer, body: Any, code: int, reason: str) -> None:
    """One request with its code, one failure with its reason; no stage, no tokens, nothing in flight."""
    response, changed = send(server, body)
    assert response.status_code == code
    assert changed.pop(f"request_failures_total({reason})") == 1
    (counted,) = [name for name in changed if name.startswith(f"requests_total({code},")]
    assert changed.pop(counted) == 1
    resolved = ",tiny,int8,2)" in counted
    assert changed == ({"request_duration_seconds_count(tiny,int8)": 1} if resolved else {})
    assert resolved == (reason == "too_long" or body == {"inputs": ""})


def test_truncated_inputs_are_counted(server: RunningServer) -> None:
    """Inputs, not requests: two of three were cut."""
    body = {"inputs": ["good " * 100, "bad", "film " * 70], "parameters": {"truncation": "truncate"}}
    _, changed = send(server, body)
    assert changed["truncated_inputs_total()"] == 2


def test_in_flight_returns_to_zero(server: RunningServer) -> None:
    """Also after refusals: a gauge that leaks on errors is a defect of others."""
    with server.client() as client:
        for body in ({"inputs": "a"}, {"inputs": ""}, {}, {"inputs": "a", "parameters": {"variant": "x"}}):
            client.post("/classify", json=body)
    assert server.series()[("intbert_inflight_requests", ())] == 0


def test_memory_of_both_variants_is_shown(server: RunningServer) -> None:
    """Weights and buffers, as soon as a variant was used; the process's own memory beside them."""
    send(server, {"inputs": "a"})
    series = server.series()
    for variant in ("int8", "fp32"):
        labels = (("model", "tiny"), ("variant", variant), ("version", "2"))
        assert series[("intbert_model_weights_bytes", labels)] > 0
        assert ("intbert_variant_arena_bytes", labels) in series
    assert series[("intbert_process_resident_memory_bytes", ())] > 1e7


def test_failed_probes_and_lists_are_no_requests(server: RunningServer) -> None:
    """Only inference counts: probes would drown it."""
    before = server.series()
    with server.client() as client:
        for path in ("/livez", "/models", "/nope", "/classify"):
            client.get(path)
    assert changes(before, server.series()) == {}
