"""One request, several variants: what each answers, how long it takes, how much memory it holds, and who agrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from intbert.runtime.agreement import Agreement, Opinion, agreement
from intbert.runtime.answers import Result, Usage
from intbert.runtime.engine import Engine
from intbert.runtime.observer import VariantKey


@dataclass(frozen=True, kw_only=True)
class VariantMemory:
    """Bytes as the engine counts them. Both 0 while a lazy variant is not loaded."""

    weights_bytes: int
    arena_bytes: int
    loaded: bool


def memory_of(engine: Engine | None) -> VariantMemory:
    """Of a variant that has an engine, or not yet."""
    if engine is None:
        return VariantMemory(weights_bytes=0, arena_bytes=0, loaded=False)
    return VariantMemory(weights_bytes=engine.weights_bytes, arena_bytes=engine.arena_bytes(), loaded=True)


@dataclass(frozen=True, kw_only=True)
class VariantRun:
    """One variant's part of a comparison; `engine` for example "native:avx512_vnni"."""

    key: VariantKey
    engine: str
    integer_only: bool
    opinion: Opinion
    memory: VariantMemory

    @property
    def result(self) -> Result:
        return self.opinion.result


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """At least one run, in the order asked for; `agreement` compares each later one with the first."""

    runs: tuple[VariantRun, ...]

    @property
    def usage(self) -> Sequence[Usage]:
        return self.runs[0].result.usage

    @property
    def agreement(self) -> tuple[Agreement, ...]:
        first = self.runs[0].opinion
        return tuple(agreement(first, run.opinion) for run in self.runs[1:])


def comparison_document(task: str, comparison: Comparison) -> dict[str, Any]:
    """As JSON has it over HTTP."""
    model = comparison.runs[0].result.model
    return {
        "task": task,
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "usage": comparison.usage,
        "variants": [_run(run) for run in comparison.runs],
        "agreement": [_agreement(item) for item in comparison.agreement],
    }


def _run(run: VariantRun) -> dict[str, Any]:
    timings = run.result.timings
    return {
        "variant": run.key.variant,
        "engine": run.engine,
        "integer_only": run.integer_only,
        "results": run.result.results,
        "digests": run.result.digests,
        "timings": {
            "tokenize_ms": _ms(timings.tokenize_s),
            "queue_ms": _ms(timings.queue_s),
            "compute_ms": _ms(timings.compute_s),
            "post_ms": _ms(timings.postprocess_s),
        },
        "memory": {"weights_bytes": run.memory.weights_bytes, "arena_bytes": run.memory.arena_bytes},
    }


def _agreement(item: Agreement) -> dict[str, Any]:
    return {
        "variant": item.variant,
        "compared_with": item.compared_with,
        "inputs": len(item.per_input),
        "agreeing": item.agreeing,
        "share": item.share,
        "logit_abs_diff_max": item.logit_abs_diff_max,
        "per_input": item.per_input,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
