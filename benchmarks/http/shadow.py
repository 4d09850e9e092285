"""Latency at half of the capacity with and without shadow comparisons of a tenth of the requests, in pairs."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from benchmarks.http.contenders import ours
from benchmarks.http.processes import Server
from benchmarks.http.speed import saturate
from benchmarks.models import ROOT
from loadtest.arrivals import arrival_times
from loadtest.generator import Call, Client, send_on_schedule
from loadtest.outcome import Outcome, Summary, summarise
from loadtest.texts import classify_calls

RATE = "0.1"
SHARE = 0.5
OPEN_MAX = 1000
TIMEOUT_S = 10.0
COMPARISONS = "intbert_shadow_comparisons_total"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """`count` pairs of phases of `phase_s`; the capacity is measured for `capacity_s`."""

    count: int
    phase_s: float
    capacity_s: float


def measure_shadow(pairs: Pairs, *, progress: Callable[[str], None]) -> dict[str, Any]:
    """As JSON has it; `p99_ratio` is the median over the pairs."""
    calls = classify_calls(None, variant="int8", root=ROOT, seed=1)
    with ours("without") as without, ours("with", shadow_rate=RATE) as with_shadow:
        with_shadow.hold()
        capacity = capacity_per_s(without, calls, pairs.capacity_s)
        without.hold()
        found = []
        for number in range(pairs.count):
            order = [without, with_shadow] if number % 2 else [with_shadow, without]
            p99_ms = {server.name: _p99_ms(server, calls, capacity * SHARE, pairs.phase_s, number) for server in order}
            found.append(p99_ms | {"ratio": p99_ms["with"] / p99_ms["without"]})
            progress(f"pair {number + 1}: p99 {p99_ms['without']:.1f} ms without, {p99_ms['with']:.1f} ms with")
        with_shadow.go_on()
        compared = with_shadow.metric(COMPARISONS)
    return {
        "shadow_rate": float(RATE),
        "capacity_per_s": capacity,
        "rate_per_s": capacity * SHARE,
        "phase_s": pairs.phase_s,
        "pairs": found,
        "comparisons": compared,
        "p99_ratio": statistics.median(item["ratio"] for item in found),
    }


def capacity_per_s(server: Server, calls: Sequence[Call], duration_s: float, *, users: int = 32) -> float:
    """Answers a second at saturation, after a second that does not count."""
    saturate(server, calls, users=users, duration_s=1.0)
    outcomes = saturate(server, calls, users=users, duration_s=duration_s)
    return summarise(outcomes, duration_s=duration_s, slo_s=TIMEOUT_S).answered_per_s


def open_loop(server: Server, calls: Sequence[Call], rate: float, duration_s: float, seed: int) -> list[Outcome]:
    """Poisson arrivals."""
    due_s = arrival_times(rate=rate, duration_s=duration_s, pattern="poisson", seed=seed)

    async def run() -> list[Outcome]:
        async with Client(server.url, timeout_s=TIMEOUT_S, connections=OPEN_MAX) as client:
            return await send_on_schedule(client, calls, due_s, open_max=OPEN_MAX)

    return uvloop.run(run())


def _p99_ms(server: Server, calls: Sequence[Call], rate: float, duration_s: float, seed: int) -> float:
    server.go_on()
    try:
        open_loop(server, calls, rate, 1.0, seed + 1000)
        summary: Summary = summarise(
            open_loop(server, calls, rate, duration_s, seed), duration_s=duration_s, slo_s=TIMEOUT_S
        )
    finally:
        server.hold()
    if summary.p99_ms is None or summary.failures:
        raise RuntimeError(f"at {rate:.0f} requests/s {summary.failures} failed; is the machine busy?")
    return summary.p99_ms
