"""Many at once: the same bits whatever shares the batch, bounded queues, deadlines, clients that leave."""

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import RunningServer, run_server
from tests.api.packages import WORDS, write_tiny
from tests.api.test_classify import check_problem
from tests.arithmetic.programs import Dimensions

LONG_TEXT = "good film " * 250  # 502 tokens
SLOW = Dimensions(channels=256, heads=4, intermediate=1024, layers=6, positions=512, labels=2)


def post_all(url: str, bodies: list[Any]) -> list[httpx.Response]:
    """All at the same time."""

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False, limits=limits) as client:
            return list(await asyncio.gather(*(client.post("/classify", json=body) for body in bodies)))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A model large enough to be waited for, and a queue that holds two of its longest inputs."""
    store = tmp_path_factory.mktemp("slow")
    write_tiny(store, name="slow", size=SLOW)
    with run_server(store, queue_tokens=1024, batch_tokens=512, threads=1) as running:
        yield running


def test_the_same_text_gives_the_same_bits_in_any_company(server: RunningServer, client: httpx.Client) -> None:
    """Digests alone, in lists, and among concurrent strangers are equal: the contract nobody else gives."""
    choose = random.Random(7)
    texts = [" ".join(choose.choices(WORDS, k=choose.randint(1, 50))) for _ in range(24)]
    digest = {"return_digest": True}
    alone = [client.post("/classify", json={"inputs": t, "parameters": digest}).json()["digests"][0] for t in texts]
    expected = dict(zip(texts, alone, strict=True))
    groups = [choose.choices(texts, k=choose.randint(1, 12)) for _ in range(60)]
    responses = post_all(server.url, [{"inputs": group, "parameters": digest} for group in groups])
    for group, response in zip(groups, responses, strict=True):
        assert response.status_code == 200, response.text
        assert response.json()["digests"] == [expected[text] for text in group]


def test_one_text_in_two_hundred_random_companies_has_one_digest(server: RunningServer) -> None:
    """Requests of random strangers around it, all at once, so that batches are made of parts of many: one digest."""
    choose = random.Random(11)
    text = "the gripping film was not bad"

    def company() -> list[str]:
        strangers = [" ".join(choose.choices(WORDS, k=choose.randint(1, 50))) for _ in range(choose.randint(0, 11))]
        strangers.insert(choose.randint(0, len(strangers)), text)
        return strangers

    groups = [company() for _ in range(200)]
    before = server.series()
    responses = post_all(server.url, [{"inputs": group, "parameters": {"return_digest": True}} for group in groups])
    digests = {r.json()["digests"][group.index(text)] for group, r in zip(groups, responses, strict=True)}
    assert {response.status_code for response in responses} == {200}
    assert len(digests) == 1
    batches = ("intbert_batch_tokens_count", (("model", "tiny"), ("variant", "int8")))
    assert server.series()[batches] - before[batches] < len(groups)  # most shared theirs with other requests


def test_overload_is_refused_with_a_time_to_come_back(slow_server: RunningServer) -> None:
    """Twenty long texts do not fit: some are answered, the rest is told when, and nothing waits for ever."""
    before = slow_server.series()
    responses = post_all(slow_server.url, [{"inputs": LONG_TEXT}] * 20)
    answered = [response for response in responses if response.status_code == 200]
    refused = [response for response in responses if response.status_code != 200]
    assert answered
    assert refused
    for response in refused:
        problem = check_problem(response, 429, "overloaded")
        assert problem["retry_after_ms"] > 0
        assert int(response.headers["retry-after"]) * 1000 >= problem["retry_after_ms"]
    after = slow_server.series()
    failures = ("intbert_request_failures_total", (("reason", "overloaded"),))
    assert after[failures] - before[failures] == len(refused)
    assert after[("intbert_queue_tokens", ())] == 0
    assert after[("intbert_inflight_requests", ())] == 0


def test_more_than_the_queue_can_ever_hold_is_too_many(slow_server: RunningServer) -> None:
    """Not 429: trying again would never help."""
    with slow_server.client() as client:
        check_problem(client.post("/classify", json={"inputs": [LONG_TEXT] * 3}), 413, "too_many")


def test_a_deadline_that_passes_is_504(slow_server: RunningServer) -> None:
    """The answer comes when the time is over, not when the work is done."""
    with slow_server.client() as client:
        started_s = time.monotonic()
        body = {"inputs": [LONG_TEXT, LONG_TEXT], "parameters": {"timeout_ms": 1}}
        check_problem(client.post("/classify", json=body), 504, "deadline_exceeded")
        assert time.monotonic() - started_s < 5


def test_a_client_that_leaves_is_counted_and_costs_nobody(slow_server: RunningServer) -> None:
    """Its request ends as cancelled, nothing stays in flight, others are answered."""
    reason = ("intbert_request_failures_total", (("reason", "cancelled"),))
    before = slow_server.series()[reason]
    body = {"inputs": [LONG_TEXT, LONG_TEXT]}
    for _ in range(20):
        with slow_server.client() as client, pytest.raises(httpx.TimeoutException):
            client.post("/classify", json=body, timeout=httpx.Timeout(60.0, read=0.001))
        time.sleep(0.05)
        if slow_server.series()[reason] > before:
            break
    after = slow_server.series()
    assert after[reason] > before
    assert after[("intbert_inflight_requests", ())] == 0
    with slow_server.client() as client:
        assert client.post("/classify", json={"inputs": "good"}).status_code == 200


def test_a_client_that_dawdles_is_let_go_and_others_are_told(tiny_store: Path) -> None:
    """A half-sent body holds its place only until the time limit; the one too many is refused, probes are not."""
    with run_server(tiny_store, max_requests=1, request_timeout_s=1.0) as running:
        address = httpx.URL(running.url)
        with socket.create_connection((address.host, address.port or 0), timeout=30) as dawdler:
            head = (
                "POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
            )
            dawdler.sendall(head.encode())
            with running.client() as client:
                while running.series()[("intbert_inflight_requests", ())] < 1:
                    time.sleep(0.01)
                response = client.post("/classify", json={"inputs": "good"})
                check_problem(response, 429, "overloaded")
                assert client.get("/readyz").status_code == 200
                assert dawdler.recv(65536).startswith(b"HTTP/1.1 408 ")
                assert client.post("/classify", json={"inputs": "good"}).status_code == 200


def test_one_bad_input_refuses_its_request_and_no_other(server: RunningServer) -> None:
    """Requests that share batches do not share errors."""
    bodies: list[Any] = [{"inputs": ["good", ""]} if index % 3 == 0 else {"inputs": "bad plot"} for index in range(30)]
    statuses = [response.status_code for response in post_all(server.url, bodies)]
    assert statuses == [422 if index % 3 == 0 else 200 for index in range(30)]
