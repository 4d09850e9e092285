"""Latency of a model's variants side by side: token ids to logits, tokenisation excluded.

Variants take turns run by run, so that whatever else the machine does hits all of them alike, and every run has other
random tokens, so that nothing is measured from a cache of answers.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intbert.errors import InputError
from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engine import EngineSession
from intbert.runtime.evaluate import engine_of

ROUNDS_MIN, ROUNDS_MAX = 7, 300
WARMUP_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`batch` sequences of `tokens` tokens."""

    batch: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """Times of one variant at one shape."""

    variant: str
    batch: int
    tokens: int
    threads: int
    median_ms: float
    min_ms: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What `intbert bench --json` prints."""

    cpu: str
    kernels: str | None
    rows: tuple[BenchRow, ...]

    def as_json(self) -> dict[str, Any]:
        """A plain document."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows]}


def parse_shapes(text: str) -> list[Shape]:
    """ "1x16,8x128" to shapes. InputError names the part that is wrong."""
    shapes = []
    for part in text.split(","):
        batch, cross, tokens = part.strip().partition("x")
        if not (cross and batch.isdecimal() and tokens.isdecimal() and int(batch) > 0 and int(tokens) > 0):
            raise InputError(f"the shape {part!r} is not BATCHxTOKENS, for example 1x128", code="invalid_parameter")
        shapes.append(Shape(batch=int(batch), tokens=int(tokens)))
    return shapes


def bench(
    package: Package,
    shapes: Sequence[Shape],
    *,
    variants: Sequence[str],
    threads: Sequence[int] = (1,),
    kernels: str | None = None,
    seconds: float = 3.0,
    seed: int = 0,
) -> Bench:
    """Measure every shape for about `seconds` a thread count. InputError for shapes beyond the model's limit."""
    limit = package.manifest.max_tokens
    for shape in shapes:
        if shape.tokens > limit:
            raise InputError.too_long(tokens=shape.tokens, limit_tokens=limit, advice="choose a smaller shape")
    engines = {variant: engine_of(package, variant, kernels=kernels) for variant in variants}
    random = np.random.default_rng(seed)
    rows: list[BenchRow] = []
    for count in threads:
        sessions = {variant: engine.session(count) for variant, engine in engines.items()}
        for shape in shapes:
            rows += measure(sessions, shape, count, package.manifest.architecture.vocabulary, random, seconds)
    names = [engine.name.removeprefix("native:") for engine in engines.values() if engine.integer_only]
    return Bench(cpu=cpu_name(), kernels=names[0] if names else None, rows=tuple(rows))


def measure(
    sessions: dict[str, EngineSession],
    shape: Shape,
    threads: int,
    vocabulary: int,
    random: np.random.Generator,
    seconds: float,
) -> list[BenchRow]:
    """One row a variant; the variants run in turns on the same tokens, in another order every round."""
    times_ms: dict[str, list[float]] = {variant: [] for variant in sessions}
    order = list(sessions)
    until_s = 0.0
    for done in range(-WARMUP_ROUNDS, ROUNDS_MAX):
        if done == 0:
            until_s = time.perf_counter() + seconds
        if done >= ROUNDS_MIN and time.perf_counter() > until_s:
            break
        batch = random_batch(shape, vocabulary, random)
        random.shuffle(order)
        for variant in order:
            started_s = time.perf_counter()
            sessions[variant].run(batch)
            if done >= 0:
                times_ms[variant].append(1000 * (time.perf_counter() - started_s))
    return [
        BenchRow(
            variant=variant,
            batch=shape.batch,
            tokens=shape.tokens,
            threads=threads,
            median_ms=round(statistics.median(times), 4),
            min_ms=round(min(times), 4),
        )
        for variant, times in times_ms.items()
    ]


def random_batch(shape: Shape, vocabulary: int, random: np.random.Generator) -> RaggedBatch:
    """Uniformly random tokens: embedding rows are fetched from all over the table, as rare words would."""
    rows = random.integers(0, vocabulary, (shape.batch, shape.tokens), dtype=np.int32)
    return RaggedBatch.of([TokenSequence.of(row) for row in rows])


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as Linux tells it, or "unknown"."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part")))
    return next(names, "unknown")
