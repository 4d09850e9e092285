"""The rounds: every engine is asked once a round, in another order every round, while all others are stopped."""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engines.catalog import ONNX_PLAIN, OURS_ALL_TOKENS
from benchmarks.machine import cores_for
from benchmarks.models import Files, Model, Shape
from benchmarks.native import start_peak
from benchmarks.plan import Budget, Plan, runs_in_turn, stream_engines
from benchmarks.process import Process, WorkerError, start_worker
from benchmarks.results import Case, Memory, Stream

Say = Callable[[str], None]
STREAM_BATCHES = (16, 1)
CHECK_LENGTHS = [5, 17, 32, 9, 24, 61, 40, 12]
FIRST_RUN = {"operation": "run", "batch": 1, "tokens": 128, "seed": 1, "warm": 0, "runs": 1}


@dataclass(kw_only=True)
class Collected:
    """What a run has measured so far."""

    cases: list[Case] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    idle_cpu_s: float = 0.0
    measured_s: float = 0.0


@dataclass(kw_only=True)
class Bench:
    """Engines of one model on one number of threads, loaded and stopped."""

    model: Model
    threads: int
    cores: list[int]
    workers: dict[str, Process]
    peak: Process | None
    random: random.Random

    def seed(self) -> int:
        """For the tokens of one round, the same for every engine."""
        return self.random.getrandbits(32)

    def shuffled(self, names: list[str]) -> list[str]:
        """The order of one round."""
        return self.random.sample(names, len(names))


@contextmanager
def open_bench(
    model: Model, files: Files, threads: int, *, engines: tuple[str, ...], logs: Path, failures: dict[str, str]
) -> Iterator[Bench]:
    """Start every engine, one after another; one that can't be loaded is noted and left out."""
    cores = cores_for(threads)
    with ExitStack() as stack:
        workers: dict[str, Process] = {}
        for name in engines:
            try:
                worker = start_worker(name, model, files, threads=threads, cores=cores, logs=logs)
            except WorkerError as error:
                failures[f"{model.name} {name} {threads}"] = str(error)
            else:
                workers[name] = stack.enter_context(worker)
        peak = start_peak(threads, cores=cores, logs=logs)
        if peak is not None:
            stack.enter_context(peak)
        yield Bench(
            model=model,
            threads=threads,
            cores=cores,
            workers=workers,
            peak=peak,
            random=random.Random(f"{model.name}-{threads}"),
        )


def measure_model(
    model: Model, files: Files, plan: Plan, threads: int, found: Collected, *, logs: Path, say: Say
) -> None:
    """All shapes and the streams of one model on one number of threads."""
    with open_bench(model, files, threads, engines=plan.engines, logs=logs, failures=found.failures) as bench:
        if model.name not in found.agreement:
            found.agreement[model.name] = agreement(bench)
        for shape in plan.shapes_of(model):
            found.cases.append(measure_shape(bench, shape, list(plan.engines_at(model, shape)), plan.budget, found))
            say(case_line(found.cases[-1]))
        for batch in STREAM_BATCHES if model.mixed_lengths else ():
            found.streams.append(measure_stream(bench, batch, plan))
            say(stream_line(found.streams[-1]))


def measure_shape(bench: Bench, shape: Shape, engines: list[str], budget: Budget, found: Collected) -> Case:
    """One case. Before the first round every engine runs until it is warm and its speed is known."""
    names = [name for name in engines if name in bench.workers]
    run_s = {name: first_run_s(bench.workers[name], shape) for name in names}
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    peaks: list[float] = []
    for _ in range(budget.rounds):
        seed = bench.seed()
        for name in bench.shuffled([*names, *(["peak"] if bench.peak else [])]):
            if name == "peak" and bench.peak is not None:
                peaks.append(bench.peak.ask()["gops"])
                continue
            warm = 1 if run_s[name] < budget.warm_below_s else 0
            request = {"warm": warm, "runs": runs_in_turn(run_s[name], budget.turn_s), "seed": seed}
            with others_idle(bench, name, found):
                answer = run_shape(bench.workers[name], shape, **request)
            times_ms[name].append(statistics.median(answer["times_ms"]))
    return Case(
        model=bench.model.name,
        batch=shape.batch,
        tokens=shape.tokens,
        threads=bench.threads,
        times_ms=times_ms,
        peak_gops=peaks,
    )


@contextmanager
def others_idle(bench: Bench, name: str, found: Collected) -> Iterator[None]:
    """Add up what the stopped engines compute meanwhile; it should be nothing."""
    others = [worker for other, worker in bench.workers.items() if other != name]
    own = bench.workers[name]
    before_s, own_before_s = sum(worker.cpu_s() for worker in others), own.cpu_s()
    yield
    found.idle_cpu_s += sum(worker.cpu_s() for worker in others) - before_s
    found.measured_s += own.cpu_s() - own_before_s


def run_shape(worker: Process, shape: Shape, **settings: Any) -> dict[str, Any]:
    """One request."""
    return worker.ask(operation="run", batch=shape.batch, tokens=shape.tokens, **settings)


def first_run_s(worker: Process, shape: Shape) -> float:
    """Seconds of one warm run."""
    times_ms: list[float] = run_shape(worker, shape, seed=0, warm=1, runs=1)["times_ms"]
    return times_ms[0] / 1000


def measure_stream(bench: Bench, batch: int, plan: Plan) -> Stream:
    """Mixed lengths, other sequences every round. `batch` 1: no padding, each sequence alone."""
    names = [name for name in stream_engines(plan.engines) if name in bench.workers]
    rates: dict[str, list[float]] = {name: [] for name in names}
    settings = {"operation": "stream", "batch": batch, "sequences": plan.budget.stream_sequences}
    tokens, padded = 0, 0
    for _ in range(plan.budget.stream_rounds):
        seed = bench.seed()
        for name in bench.shuffled(names):
            answer = bench.workers[name].ask(**settings, seed=seed)
            rates[name].append(answer["tokens"] / answer["time_s"])
        tokens, padded = tokens + answer["tokens"], padded + answer["padded_tokens"]
    return Stream(
        model=bench.model.name,
        threads=bench.threads,
        batch=batch,
        padded_over_real=padded / max(tokens, 1),
        tokens_per_s=rates,
    )


def measure_memory(model: Model, files: Files, plan: Plan, found: Collected, *, logs: Path, say: Say) -> None:
    """Fresh processes, one at a time: load, one pass at 1x128 on one thread, resident bytes."""
    for name in stream_engines(plan.engines):
        peaks: list[int] = []
        now: list[int] = []
        try:
            for _ in range(plan.budget.processes):
                with start_worker(name, model, files, threads=1, cores=cores_for(1), logs=logs) as worker:
                    worker.ask(**FIRST_RUN)
                    answer = worker.ask(operation="memory")
                    peaks.append(answer["peak_bytes"])
                    now.append(answer["bytes"])
        except WorkerError as error:
            found.failures[f"{model.name} {name} memory"] = str(error)
            continue
        found.memory.append(Memory(model=model.name, engine=name, peak_bytes=peaks, bytes=now))
        say(f"{model.label}, memory: {name} {statistics.median(peaks) / 1e6:.0f} MB at the peak")


def agreement(bench: Bench) -> dict[str, float]:
    """Correlation of every engine's logits with the plain FP32 graph's: do they compute the same model?"""
    logits = {
        name: worker.ask(operation="logits", seed=3, lengths=CHECK_LENGTHS)["logits"]
        for name, worker in bench.workers.items()
        if name != OURS_ALL_TOKENS  # without its pooler it computes something else
    }
    if ONNX_PLAIN not in logits:
        return {}
    expected = flat(logits[ONNX_PLAIN])
    return {name: statistics.correlation(flat(values), expected) for name, values in logits.items()}


def flat(rows: list[list[float]]) -> list[float]:
    """Difference of the two logits of each row: what decides."""
    return [row[1] - row[0] for row in rows]


def case_line(case: Case) -> str:
    """For someone who watches."""
    times = {name: statistics.median(values) for name, values in case.times_ms.items()}
    return f"{case.model} {case.shape} threads {case.threads}: {numbers(times, 'ms')}"


def stream_line(stream: Stream) -> str:
    """For someone who watches."""
    rates = {name: statistics.median(values) for name, values in stream.tokens_per_s.items()}
    return f"{stream.model} mixed lengths, batch {stream.batch}, threads {stream.threads}: {numbers(rates, 'tokens/s')}"


def numbers(values: Mapping[str, float], unit: str) -> str:
    """Name and value of each."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) + f" {unit}"
