"""The C++ part: builds `native_bench` and asks it for peak, products and profile."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import cores_for
from benchmarks.models import ROOT, Model, Shape
from benchmarks.process import Process
from benchmarks.results import Products, Profile

SOURCES = ROOT / "benchmarks" / "native_bench"
BUILD = ROOT / "build" / "bench" / "native"
PROGRAM = BUILD / "native_bench"
ROWS = 128
PRODUCT_ROUNDS = 201


class NativeError(RuntimeError):
    """The C++ program could not be built or run."""


def build_native() -> None:
    """Configure and compile; quick when nothing changed. NativeError carries the compiler's words."""
    tools = Path(sys.executable).parent
    cmake, ninja = str(tools / "cmake"), str(tools / "ninja")
    for command in (
        [cmake, "-S", str(SOURCES), "-B", str(BUILD), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"],
        [cmake, "--build", str(BUILD), "--target", "native_bench"],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise NativeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def start_peak(threads: int, *, cores: list[int], logs: Path) -> Process | None:
    """The register loop, answering with GOP/s; None where this CPU has no instruction that we know."""
    command = [*on_cores(cores), str(PROGRAM), "peak", str(threads)]
    process = Process("peak", command, environment={}, log=logs / f"peak-{threads}.log")
    if process.read()["ready"]:
        process.pause()
        return process
    process.close()
    return None


def on_cores(cores: list[int]) -> list[str]:
    """The beginning of a command that binds what follows."""
    return ["taskset", "-c", ",".join(map(str, cores))]


def ask_once(arguments: list[str], cores: list[int]) -> dict[str, Any]:
    """Run a command of the program to its end. NativeError with its message."""
    done = subprocess.run([*on_cores(cores), str(PROGRAM), *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise NativeError(done.stderr.strip())
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure_products(model: Model, *, rounds: int = PRODUCT_ROUNDS) -> Products:
    """Of one layer at 128 rows, on one thread."""
    size = [model.channels, model.heads, model.intermediate, ROWS, rounds]
    answer = ask_once(["products", *map(str, size)], cores_for(1))
    return Products(
        model=model.name,
        kernels=answer["kernels"],
        rows=answer["rows"],
        peak_gops=answer["peak_gops"],
        gops={item["name"]: item["gops"] for item in answer["products"]},
    )


def measure_profile(model: Model, shape: Shape, threads: int, *, rounds: int) -> Profile:
    """Where the time of a forward pass goes."""
    size = [model.channels, model.heads, model.intermediate, model.layers, shape.batch, shape.tokens, threads, rounds]
    cores = cores_for(threads)
    answer = ask_once(["profile", *map(str, size)], cores)
    return Profile(
        model=model.name,
        batch=shape.batch,
        tokens=shape.tokens,
        threads=threads,
        kernels=answer["kernels"],
        median_ms=answer["median_ms"],
        shares={item["name"]: item["share"] for item in answer["operations"]},
        gops={item["name"]: item["gops"] for item in answer["operations"]},
    )
