"""Three times the capacity: who is answered and when, what the rest is told, memory, and the way back."""

import asyncio
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import uvloop

from benchmarks.http.contenders import ours, texts
from benchmarks.http.processes import Server
from benchmarks.http.shadow import capacity_per_s
from loadtest.arrivals import arrival_times
from loadtest.generator import Call, Client, send_on_schedule
from loadtest.outcome import Outcome

TIMES = 3.0
DEADLINE_S = 2.0
INPUTS = 8  # of one request: so that the generator keeps up
OPEN_MAX = 4000
QUEUE_TOKENS = 16384
PROBE_S = 0.02
LATE_S = 0.01
PROBE_GOOD_S = 0.1
RECOVERY_MAX_S = 5.0
LARGE_INPUTS = 128
RETRY_TRIALS = 9

Progress = Callable[[str], None]


def measure_overload(*, phase_s: float, capacity_s: float, progress: Progress) -> dict[str, Any]:
    """As JSON has it."""
    calls = _calls(INPUTS, DEADLINE_S)
    with ours("intbert", queue_tokens=str(QUEUE_TOKENS)) as server:
        capacity = capacity_per_s(server, calls, capacity_s)
        resident_mib = [server.resident_mib()]
        outcomes, recovery_s = uvloop.run(_overload(server, calls, capacity * TIMES, phase_s, resident_mib))
        trials = [uvloop.run(_retry_trial(server)) for _ in range(RETRY_TRIALS)]
    found = _summary(outcomes) | {
        "capacity_per_s": capacity,
        "offered_per_s": capacity * TIMES,
        "inputs_a_request": INPUTS,
        "deadline_ms": DEADLINE_S * 1000,
        "queue_tokens": QUEUE_TOKENS,
        "recovery_s": recovery_s,
        "resident_mib": {"before": resident_mib[0], "most": max(resident_mib)},
        "retry_after": trials,
        "retry_after_ratio": statistics.median(trial["told_ms"] / trial["admitted_after_ms"] for trial in trials),
    }
    progress(
        f"accepted p99 {found['accepted_p99_ms']:.0f} ms, statuses {found['statuses']}, recovery {recovery_s:.2f} s, "
        f"told / true {found['retry_after_ratio']:.2f}"
    )
    return found


def _calls(inputs: int, timeout_s: float) -> list[Call]:
    every = texts()
    body = {"parameters": {"timeout_ms": round(timeout_s * 1000)}}
    groups = [every[start : start + inputs] for start in range(0, len(every) - inputs, inputs)]
    return [Call(path="/classify", body=body | {"inputs": group}) for group in groups]


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    accepted_ms = [1000 * item.latency_s for item in outcomes if item.status == 200]
    return {
        "requests": len(outcomes),
        "late_sends": sum(item.sent_s - item.due_s > LATE_S for item in outcomes),
        "statuses": dict(Counter(str(item.status) if item.status else item.error for item in outcomes)),
        "accepted_p50_ms": float(np.percentile(accepted_ms, 50)),
        "accepted_p99_ms": float(np.percentile(accepted_ms, 99)),
    }


async def _overload(
    server: Server, calls: Sequence[Call], rate: float, duration_s: float, resident_mib: list[float]
) -> tuple[list[Outcome], float]:
    """All that was sent, and the time from the last send until probes are answered quickly."""
    due_s = arrival_times(rate=rate, duration_s=duration_s, pattern="poisson", seed=3)
    async with Client(server.url, timeout_s=30.0, connections=OPEN_MAX) as client:
        sending = asyncio.create_task(send_on_schedule(client, calls, due_s, open_max=OPEN_MAX))
        end_s = time.perf_counter() + duration_s
        while time.perf_counter() < end_s:
            await asyncio.sleep(0.1)
            resident_mib.append(server.resident_mib())
        recovery_s = await _recovery_s(server, end_s)
        return await sending, recovery_s


async def _recovery_s(server: Server, end_s: float) -> float:
    probe = Call(path="/classify", body={"inputs": "a short one"})
    async with Client(server.url, timeout_s=RECOVERY_MAX_S, connections=8) as client:
        while (began_s := time.perf_counter()) < end_s + RECOVERY_MAX_S:
            answer = await client.post(probe)
            if answer.status == 200 and time.perf_counter() - began_s <= PROBE_GOOD_S:
                return began_s - end_s
            await asyncio.sleep(PROBE_S)
    return RECOVERY_MAX_S


async def _retry_trial(server: Server) -> dict[str, float]:
    """Fill the queue at once; of one that is refused: what it was told, and when it was let in in truth."""
    (large, *_) = _calls(LARGE_INPUTS, 30.0)
    async with Client(server.url, timeout_s=30.0, connections=64) as client:
        filling = [asyncio.create_task(client.post(large)) for _ in range(2 * QUEUE_TOKENS // (30 * LARGE_INPUTS))]
        refused = None
        while refused is None:
            done, _ = await asyncio.wait(filling, return_when=asyncio.FIRST_COMPLETED)
            refused = next((task.result() for task in done if task.result().status == 429), None)
            filling = [task for task in filling if task not in done]
        began_s = time.perf_counter()
        told_ms = json.loads(refused.body)["retry_after_ms"]
        while True:
            asked_s = time.perf_counter()
            if (await client.post(large)).status == 200:
                break
            await asyncio.sleep(PROBE_S / 4)
        await asyncio.gather(*filling)
    return {"told_ms": told_ms, "admitted_after_ms": max(1.0, 1000 * (asked_s - began_s))}
