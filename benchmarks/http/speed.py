"""Requests a second of every server at saturation, taking turns; and how much of our processor time is the engine's."""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.http.contenders import TUNINGS, Tuning, calls_of, dynamic_int8, ours, peer
from benchmarks.http.processes import Server
from loadtest.generator import Call, Client, send_without_pause
from loadtest.outcome import Outcome, summarise

OURS, FP32 = "intbert int8", "intbert FP32"
ENGINE_CPU = "intbert_engine_cpu_seconds_total"
WARMUP_S = 1.0
TIMEOUT_S = 30.0

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Load:
    """A closed loop of `users` for `turn_s`, in each of `rounds`; peers' settings are tried for `tuning_s` each."""

    rounds: int
    turn_s: float
    tuning_s: float
    users: int


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One server's turn; processor seconds of all its processes, of its engine (ours only) and of the generator."""

    per_s: float
    p50_ms: float
    failures: int
    cpu_s: float
    engine_cpu_s: float | None
    generator_cpu_s: float


def measure_speed(load: Load, *, python: Path, work: Path, progress: Progress) -> dict[str, Any]:
    """Everything, as JSON has it."""
    model = dynamic_int8(work)
    tried = {name: _tune(name, load, python=python, model=model, progress=progress) for name in TUNINGS}
    with ExitStack() as stack:
        server = stack.enter_context(ours())
        servers = {OURS: server, FP32: server}
        for name, rates in tried.items():
            servers[name] = stack.enter_context(peer(name, _best(rates), python=python, model=model))
        turns = _rounds(servers, load, progress)
    return {
        "load": asdict(load),
        "tunings": {name: {str(tuning): rate for tuning, rate in rates.items()} for name, rates in tried.items()},
        "turns": {name: [asdict(turn) for turn in found] for name, found in turns.items()},
        "per_s": {name: statistics.median(turn.per_s for turn in found) for name, found in turns.items()},
        "ratios": {name: ratio(turns[OURS], found) for name, found in turns.items() if name != OURS},
        "engine_share": statistics.median((turn.engine_cpu_s or 0.0) / turn.cpu_s for turn in turns[OURS]),
    }


def ratio(mine: Sequence[Turn], other: Sequence[Turn]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(a.per_s / b.per_s for a, b in zip(mine, other, strict=True))


def saturate(server: Server, calls: Sequence[Call], *, users: int, duration_s: float) -> list[Outcome]:
    """A closed loop."""

    async def run() -> list[Outcome]:
        async with Client(server.url, timeout_s=TIMEOUT_S, connections=users) as client:
            return await send_without_pause(client, calls, duration_s=duration_s, users=users)

    return uvloop.run(run())


def _tune(name: str, load: Load, *, python: Path, model: Path, progress: Progress) -> dict[Tuning, float]:
    rates = {}
    for tuning in TUNINGS[name]:
        with peer(name, tuning, python=python, model=model) as server:
            saturate(server, calls_of(name), users=load.users, duration_s=WARMUP_S)
            outcomes = saturate(server, calls_of(name), users=load.users, duration_s=load.tuning_s)
        rates[tuning] = summarise(outcomes, duration_s=load.tuning_s, slo_s=TIMEOUT_S).answered_per_s
        progress(f"{name}, {tuning}: {rates[tuning]:.0f} requests/s")
    return rates


def _best(rates: Mapping[Tuning, float]) -> Tuning:
    return max(rates, key=lambda tuning: rates[tuning])


def _rounds(servers: Mapping[str, Server], load: Load, progress: Progress) -> dict[str, list[Turn]]:
    """In an order that is drawn anew; whose turn it is not gets no processor time."""
    chance = random.Random(1)
    turns: dict[str, list[Turn]] = {name: [] for name in servers}
    for server in set(servers.values()):
        server.hold()
    for number in range(load.rounds):
        for name in chance.sample(sorted(servers), k=len(servers)):
            server = servers[name]
            server.go_on()
            try:
                turns[name].append(_turn(server, calls_of(name), load, own=name in (OURS, FP32)))
            finally:
                server.hold()
            progress(f"round {number + 1}, {name}: {turns[name][-1].per_s:.0f} requests/s")
    return turns


def _turn(server: Server, calls: Sequence[Call], load: Load, *, own: bool) -> Turn:
    saturate(server, calls, users=load.users, duration_s=WARMUP_S)
    engine_s = server.metric(ENGINE_CPU) if own else None
    before_s, generator_s = server.cpu_s(), time.process_time()
    outcomes = saturate(server, calls, users=load.users, duration_s=load.turn_s)
    generator_s, cpu_s = time.process_time() - generator_s, server.cpu_s() - before_s
    summary = summarise(outcomes, duration_s=load.turn_s, slo_s=TIMEOUT_S)
    return Turn(
        per_s=summary.answered_per_s,
        p50_ms=summary.p50_ms or 0.0,
        failures=summary.requests - summary.answered,
        cpu_s=cpu_s,
        engine_cpu_s=None if engine_s is None else server.metric(ENGINE_CPU) - engine_s,
        generator_cpu_s=generator_s,
    )
