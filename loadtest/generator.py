"""Sends requests: on a schedule (open loop), or as fast as the server takes them (saturation)."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from loadtest.connection import Answer, CallError, Connections
from loadtest.outcome import Outcome

TOO_MANY_OPEN = "generator_limit"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to make."""

    path: str
    body: dict[str, Any]


class Client:
    """Keeps up to `connections` open; `timeout_s` bounds each request."""

    def __init__(self, url: str, *, timeout_s: float, connections: int) -> None:
        self._connections = Connections(url, timeout_s=timeout_s, limit=connections)
        self._requests: dict[int, bytes] = {}  # by the identity of the call, which is kept with it
        self._calls: list[Call] = []

    async def post(self, call: Call) -> Answer:
        """Send one call. Raises CallError. A call that is sent again is not written as JSON again."""
        request = self._requests.get(id(call))
        if request is None:
            request = self._requests[id(call)] = self._write(call)
            self._calls.append(call)
        return await self._connections.ask(request)

    def _write(self, call: Call) -> bytes:
        body = json.dumps(call.body, ensure_ascii=False).encode()
        head = (
            f"POST {call.path} HTTP/1.1\r\nhost: {self._connections.host}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connections.close()


async def send_on_schedule(
    client: Client, calls: Sequence[Call], due_s: Sequence[float], *, open_max: int
) -> list[Outcome]:
    """Send a call at each of `due_s` (seconds from now), whatever became of the earlier ones.

    Calls are used in turn. More than `open_max` requests under way is a failure of that request, never a delay of it.
    """
    start_s = time.perf_counter()
    open_calls: set[asyncio.Task[Outcome]] = set()
    outcomes: list[Outcome] = []

    def finished(task: asyncio.Task[Outcome]) -> None:
        open_calls.discard(task)
        outcomes.append(task.result())

    for call, due in zip(itertools.cycle(calls), due_s, strict=False):
        await asyncio.sleep(max(0.0, start_s + due - time.perf_counter()))
        if len(open_calls) >= open_max:
            outcomes.append(Outcome(due_s=due, sent_s=due, done_s=due, status=0, error=TOO_MANY_OPEN))
            continue
        task = asyncio.create_task(_send(client, call, due_s=due, start_s=start_s))
        open_calls.add(task)
        task.add_done_callback(finished)
    while open_calls:
        await asyncio.wait(open_calls)
        await asyncio.sleep(0)  # the callbacks run in the loop's next turn
    return sorted(outcomes, key=lambda outcome: outcome.due_s)


async def send_without_pause(client: Client, calls: Sequence[Call], *, duration_s: float, users: int) -> list[Outcome]:
    """`users` that each send their next call when the last is answered: finds the throughput at saturation.

    Latencies of such a closed loop say nothing about users who come at their own pace; only the rate is of use.
    """
    start_s = time.perf_counter()
    stream = itertools.cycle(calls)

    async def user() -> list[Outcome]:
        return [outcome async for outcome in _until(client, stream, start_s=start_s, duration_s=duration_s)]

    parts = await asyncio.gather(*(user() for _ in range(users)))
    return list(itertools.chain.from_iterable(parts))


async def _until(client: Client, stream: Iterator[Call], *, start_s: float, duration_s: float) -> Any:
    while (now_s := time.perf_counter() - start_s) < duration_s:
        yield await _send(client, next(stream), due_s=now_s, start_s=start_s)


async def _send(client: Client, call: Call, *, due_s: float, start_s: float) -> Outcome:
    sent_s = time.perf_counter() - start_s
    status, error = 0, ""
    try:
        answer = await client.post(call)
        status = answer.status
    except CallError as failure:
        error = type(failure).__name__
    done_s = time.perf_counter() - start_s
    return Outcome(due_s=due_s, sent_s=sent_s, done_s=done_s, status=status, error=error)
