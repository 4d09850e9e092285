"""What a run measures. Pure: no clock, no process."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engines.catalog import CATALOG, OURS, OURS_ALL_TOKENS, OURS_AVX2, entry_of
from benchmarks.models import Model, Shape, all_models, find_model

AVX2_SHAPE = Shape(batch=1, tokens=128)
QUICK_SHAPES = (Shape(batch=1, tokens=32), Shape(batch=1, tokens=128))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to measure. A round asks every engine once, for `turn_s`, but for one run at least."""

    rounds: int
    turn_s: float
    warm_below_s: float  # a run that is not counted comes first where it takes less than this
    stream_rounds: int
    stream_sequences: int
    processes: int  # fresh ones for each figure of memory


FULL = Budget(rounds=15, turn_s=0.1, warm_below_s=0.15, stream_rounds=7, stream_sequences=96, processes=2)
QUICK = Budget(rounds=5, turn_s=0.04, warm_below_s=0.1, stream_rounds=3, stream_sequences=48, processes=1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Models with their shapes, numbers of threads, engines."""

    models: tuple[Model, ...]
    shapes: tuple[Shape, ...] | None  # None: each model's own
    threads: tuple[int, ...]
    engines: tuple[str, ...]
    budget: Budget

    def shapes_of(self, model: Model) -> tuple[Shape, ...]:
        """Asked for explicitly, or the model's own."""
        return model.shapes if self.shapes is None else self.shapes

    def engines_at(self, model: Model, shape: Shape) -> tuple[str, ...]:
        """The AVX2 kernels are measured at one shape only: they answer another question than the rest."""
        return tuple(name for name in self.engines if name != OURS_AVX2 or shape == AVX2_SHAPE)


def make_plan(
    *, models: str, shapes: str, threads: str, engines: str, rounds: int | None, quick: bool, available_avx2: bool
) -> Plan:
    """From the command line's words; empty ones take the default. ValueError says which word is wrong."""
    chosen = [find_model(name) for name in words(models)] or list(all_models())
    names = words(engines) or [entry.name for entry in CATALOG if entry.name != OURS_AVX2 or available_avx2]
    for name in names:
        entry_of(name)
    if OURS not in names:
        raise ValueError(f"the engines must include {OURS}: everything is compared with it")
    counts = [positive(word) for word in words(threads)] or [1, 2]
    budget = QUICK if quick else FULL
    if rounds is not None:
        budget = Budget(**{**budget.__dict__, "rounds": rounds, "stream_rounds": max(1, rounds // 2)})
    if quick and not words(models):
        chosen = chosen[:1]
    wanted = tuple(Shape.parse(word) for word in words(shapes)) or (QUICK_SHAPES if quick else None)
    return Plan(models=tuple(chosen), shapes=wanted, threads=tuple(counts), engines=tuple(names), budget=budget)


def words(text: str) -> list[str]:
    """Comma-separated."""
    return [word.strip() for word in text.split(",") if word.strip()]


def positive(text: str) -> int:
    """ValueError for anything but a positive whole number."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{text!r} is no positive number")
    return int(text)


def runs_in_turn(run_s: float, turn_s: float) -> int:
    """How often an engine that needs `run_s` runs in one turn."""
    return max(1, min(200, round(turn_s / max(run_s, 1e-6))))


def stream_engines(engines: Sequence[str]) -> tuple[str, ...]:
    """Without the variants of ours that answer other questions."""
    return tuple(name for name in engines if name not in (OURS_ALL_TOKENS, OURS_AVX2))
