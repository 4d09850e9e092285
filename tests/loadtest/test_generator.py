"""The generator against a stub server with a scripted stall: what a load test must not hide."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from loadtest.arrivals import arrival_times
from loadtest.generator import TOO_MANY_OPEN, Call, Client, send_on_schedule, send_without_pause
from loadtest.outcome import summarise

CALLS = [Call(path="/classify", body={"inputs": "a text"})]
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@contextlib.asynccontextmanager
async def stub_server(*, stall_from_s: float, stall_s: float) -> AsyncIterator[str]:
    """Answers at once, but nothing for `stall_s` that begin `stall_from_s` after the first request."""
    first_s: list[float] = []
    handlers: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())  # type: ignore[arg-type]  # a handler always runs in a task
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                now_s = time.perf_counter()
                first_s[:] = first_s or [now_s]
                since_s = now_s - first_s[0] - stall_from_s
                if 0 <= since_s < stall_s:
                    await asyncio.sleep(stall_s - since_s)
                writer.write(RESPONSE)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*handlers)


async def open_loop_p90_s(rate: float, *, stall_from_s: float, stall_s: float, duration_s: float) -> float:
    """p90 in seconds, as our generator sees it."""
    due_s = arrival_times(rate=rate, duration_s=duration_s, pattern="constant", seed=0)
    async with stub_server(stall_from_s=stall_from_s, stall_s=stall_s) as url, _client(url) as client:
        outcomes = await send_on_schedule(client, CALLS, due_s, open_max=1000)
    assert len(outcomes) == len(due_s)
    assert all(outcome.status == 200 for outcome in outcomes)
    return float(np.percentile([outcome.latency_s for outcome in outcomes], 90))


async def closed_loop_p90_s(*, stall_from_s: float, stall_s: float, duration_s: float) -> float:
    """p90 in seconds, as a tool sees it that waits for each answer before it sends the next request."""
    async with stub_server(stall_from_s=stall_from_s, stall_s=stall_s) as url, _client(url) as client:
        outcomes = await send_without_pause(client, CALLS, duration_s=duration_s, users=2)
    return float(np.percentile([outcome.latency_s for outcome in outcomes], 90))


def _client(url: str, *, timeout_s: float = 5.0) -> Client:
    return Client(url, timeout_s=timeout_s, connections=1000)


def test_a_stall_of_one_second_is_not_hidden() -> None:
    """A 1 s stall in 3 s: a third of the users wait 0.5 s on average, so p90 is 0.7 s, more on a busy machine."""
    p90_s = asyncio.run(open_loop_p90_s(30, stall_from_s=1.0, stall_s=1.0, duration_s=3.0))
    assert p90_s >= 0.6


def test_a_closed_loop_would_hide_it() -> None:
    """The same stall in a closed loop touches one request a user and its p90 shows nothing: the test can tell."""
    p90_s = asyncio.run(closed_loop_p90_s(stall_from_s=1.0, stall_s=1.0, duration_s=3.0))
    assert p90_s < 0.5


def test_without_a_stall_latency_is_small() -> None:
    """The generator adds no latency of its own that would matter."""
    p90_s = asyncio.run(open_loop_p90_s(20, stall_from_s=100.0, stall_s=1.0, duration_s=1.0))
    assert p90_s < 0.5


def test_requests_beyond_the_open_limit_fail_and_are_counted() -> None:
    """When 5 requests are stuck, the sixth is a failure with a name, and the schedule goes on."""

    async def run() -> dict[str, int]:
        due_s = arrival_times(rate=50, duration_s=0.4, pattern="constant", seed=0)
        async with stub_server(stall_from_s=0.0, stall_s=1.0) as url, _client(url) as client:
            outcomes = await send_on_schedule(client, CALLS, due_s, open_max=5)
        return summarise(outcomes, duration_s=0.4, slo_s=5.0).failures

    assert asyncio.run(run()) == {TOO_MANY_OPEN: 15}


def test_a_timeout_is_a_failure_with_a_name() -> None:
    """A request without an answer in time is counted under what happened to it."""

    async def run() -> dict[str, int]:
        async with stub_server(stall_from_s=0.0, stall_s=1.0) as url, _client(url, timeout_s=0.2) as client:
            outcomes = await send_on_schedule(client, CALLS, [0.0], open_max=5)
        return summarise(outcomes, duration_s=1.0, slo_s=5.0).failures

    assert asyncio.run(run()) == {"ReadTimeout": 1}


@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_the_offered_rate_is_the_planned_one(rate: float) -> None:
    """The stall slows answers down, never the sending: requests leave when they are due."""

    async def run() -> int:
        due_s = arrival_times(rate=rate, duration_s=1.0, pattern="poisson", seed=1)
        async with stub_server(stall_from_s=0.2, stall_s=0.5) as url, _client(url) as client:
            outcomes = await send_on_schedule(client, CALLS, due_s, open_max=1000)
        return summarise(outcomes, duration_s=1.0, slo_s=1.0, late_s=0.4).late_sends

    assert asyncio.run(run()) == 0
