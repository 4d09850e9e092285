"""A whole run: prepare, measure part by part, save after each, so that an interrupted run leaves what it has."""

import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.engines.catalog import OURS_AVX2
from benchmarks.machine import commit, describe_machine, versions
from benchmarks.measure import Collected, Say, measure_memory, measure_model
from benchmarks.models import Model, Shape
from benchmarks.native import NativeError, build_native, measure_products, measure_profile
from benchmarks.plan import Plan
from benchmarks.prepare import prepare
from benchmarks.results import Document, Products, Profile

PROFILE_SHAPES = (Shape(batch=1, tokens=16), Shape(batch=1, tokens=128), Shape(batch=8, tokens=128))
PROFILE_ROUNDS = 60


def available_avx2() -> bool:
    """Whether our AVX2 kernels exist and run here."""
    from intbert.runtime.native import supported_kernels

    return OURS_AVX2.rpartition("-")[2] in supported_kernels()


def run(plan: Plan, *, parts: frozenset[str], cache: Path, out: Path, say: Say) -> Document:
    """Measure the `parts` ("cases", "memory", "profile") of a plan and return what is saved at `out`."""
    build_native()
    files = {model.name: prepare(model, cache, say=say) for model in plan.models}
    document = new_document(plan)
    found = Collected()
    logs = cache / "logs"
    products: list[Products] = []
    profiles: list[Profile] = []

    def save() -> Document:
        current = replace(
            document,
            cases=tuple(found.cases),
            streams=tuple(found.streams),
            memory=tuple(found.memory),
            products=tuple(products),
            profiles=tuple(profiles),
            agreement=found.agreement,
            failures=found.failures,
            idle_cpu_share=found.idle_cpu_s / max(found.measured_s, 1e-9),
        )
        current.save(out)
        return current

    if "profile" in parts:
        for model in small_models(plan):
            measure_native(model, plan, products, profiles, found, say)
            save()
    if "cases" in parts:
        for model in plan.models:
            for threads in plan.threads:
                measure_model(model, files[model.name], plan, threads, found, logs=logs, say=say)
                save()
    if "memory" in parts:
        for model in small_models(plan):
            measure_memory(model, files[model.name], plan, found, logs=logs, say=say)
            save()
    return save()


def small_models(plan: Plan) -> list[Model]:
    """BERT-large is there for its speed alone, unless nothing else was asked for."""
    return [model for model in plan.models if model.name != "large"] or list(plan.models)


def measure_native(
    model: Model, plan: Plan, products: list[Products], profiles: list[Profile], found: Collected, say: Say
) -> None:
    """Products alone, and the profile at three shapes."""
    rounds = max(3, PROFILE_ROUNDS * plan.budget.rounds // 15)
    try:
        products.append(measure_products(model))
        for threads in plan.threads:
            for shape in PROFILE_SHAPES:
                profiles.append(measure_profile(model, shape, threads, rounds=rounds))
                say(f"{model.label} {shape}, threads {threads}: profile of {profiles[-1].median_ms:.3f} ms")
    except NativeError as error:
        found.failures[f"{model.name} profile"] = str(error)


def new_document(plan: Plan) -> Document:
    """What is known before the first measurement."""
    arguments = shlex.join(sys.argv[1:])
    return Document(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=f"python -m benchmarks {arguments}".strip(),
        commit=commit(),
        machine=describe_machine(),
        versions=versions(plan.engines),
        settings={
            "rounds": plan.budget.rounds,
            "turn_s": plan.budget.turn_s,
            "stream_rounds": plan.budget.stream_rounds,
            "stream_sequences": plan.budget.stream_sequences,
            "processes": plan.budget.processes,
        },
    )
