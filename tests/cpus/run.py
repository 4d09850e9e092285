"""`make test-cpus`: other CPUs, emulated, compute the same bits as this one.

The Python package runs under qemu-user on each CPU, finds the kernel sets that this CPU should have, and computes with
each of them the golden programs and real texts through the bundled models. Emulation says nothing about speed, and
nothing about the memory order of threads, which is that of the CPU that emulates.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intbert.model.package import Package
from intbert.model.tokenizer import Tokenizer
from tests.cpus.arm64 import ROOT, prepare_arm64, python_version
from tests.cpus.probe import GOLDEN, golden_digest
from tests.cpus.tools import CpuCheckError, ensure_tools, run
from tests.kernels.disassembly import float_instructions

TEXTS = (
    "a gorgeous, witty, seductive movie.",
    "It never quite adds up, and by the end I had stopped caring about anyone in it at all.",
    "No",
    "Über 3,000 people — says the director's note — came to see the première; half of them left before the interval.",
    " ".join(["The plot is thin, but the two leads are so good that one forgives it almost everything."] * 9),
)


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """A CPU that qemu emulates and the kernel sets that it must find, best first."""

    model: str
    machine: str
    kernels: tuple[str, ...]


CPUS = (
    Cpu(model="Haswell", machine="x86_64", kernels=("avx2", "portable")),
    Cpu(model="Nehalem", machine="x86_64", kernels=("portable",)),
    Cpu(model="max", machine="aarch64", kernels=("neon_dotprod", "neon", "portable")),
    Cpu(model="neoverse-n1", machine="aarch64", kernels=("neon_dotprod", "neon", "portable")),
    Cpu(model="cortex-a72", machine="aarch64", kernels=("neon", "portable")),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make test-cpus", description="Compare kernel sets on emulated CPUs.")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/cpus", help="kept between runs")
    folder = parser.parse_args().folder.resolve()
    try:
        check(folder)
    except CpuCheckError as error:
        raise SystemExit(f"test-cpus: {error}") from None


def check(folder: Path) -> None:
    """Everything, with a table; CpuCheckError at the end if any line differs."""
    if platform.machine() != "x86_64":
        raise CpuCheckError(f"NOTHING WAS CHECKED: this needs an x86-64 machine, not {platform.machine()}")
    print(f"tools, an AArch64 Python and the module for it, below {folder}", flush=True)
    ensure_tools()
    system, site = prepare_arm64(folder / "arm64")
    check_integers_only(site)
    inputs = folder / "inputs.json"
    inputs.write_text(json.dumps(model_inputs()), encoding="utf-8")
    started_s = time.monotonic()
    native = probe([sys.executable], [ROOT], inputs)
    expected = native["digests"][native["kernels"][0]] | {GOLDEN: golden_digest()}
    differences = report("native", native, expected, tuple(native["kernels"]), time.monotonic() - started_s)
    for cpu in CPUS:
        started_s = time.monotonic()
        found = probe_on(cpu, inputs, system, site)
        differences += report(cpu.model, found, expected, cpu.kernels, time.monotonic() - started_s)
    if differences:
        raise CpuCheckError(f"{differences} DIFFERENCES")
    print("test-cpus: all equal (correctness only: emulation says nothing about speed)")


def check_integers_only(site: Path) -> None:
    """No floating-point instruction in the AArch64 kernels."""
    floats, functions = float_instructions(site / "intbert/_kernels.so", objdump="aarch64-linux-gnu-objdump")
    for expected in ("neon::linear_to_gelu", "neon_dotprod::attend", "neon::layer_norm"):
        if not any(expected in function for function in functions):
            raise CpuCheckError(f"{expected} was not found in the disassembly")
    if floats:
        raise CpuCheckError(f"floating-point instructions in the AArch64 kernels: {sorted(floats)}")
    print(f"AArch64 module: {len(functions)} functions, no floating-point instruction", flush=True)


def model_inputs() -> dict[str, list[dict[str, Any]]]:
    """Token ids of the texts, one text alone and then all in one batch, by the file of each bundled int8 model."""
    files = sorted((ROOT / "model_store").glob("*/*/int8.safetensors"))
    return {str(path): batches(Package.open(path.parent).tokenizer()) for path in files}


def batches(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    encoded = [tokenizer.encode(text, limit_tokens=256, truncate=True) for text in TEXTS]
    return [batch_of(encoded[:1]), batch_of(encoded)]


def batch_of(encoded: list[Any]) -> dict[str, Any]:
    ends = [0]
    for item in encoded:
        ends.append(ends[-1] + item.tokens)
    return {
        "token_ids": [int(token) for item in encoded for token in item.token_ids],
        "type_ids": [int(token) for item in encoded for token in item.type_ids],
        "cumulative_lengths": ends,
    }


def probe_on(cpu: Cpu, inputs: Path, system: Path, site: Path) -> Any:
    """The probe under emulation of this CPU."""
    if cpu.machine == "x86_64":
        return probe(["qemu-x86_64", "-cpu", cpu.model, sys.executable], [ROOT], inputs)
    python = system / f"usr/bin/python{python_version(system)}"
    return probe(["qemu-aarch64", "-L", str(system), "-cpu", cpu.model, str(python)], [ROOT, site], inputs)


def probe(interpreter: list[str], paths: list[Path], inputs: Path) -> Any:
    inherited = [os.environ.get("PYTHONPATH", "")] if len(paths) == 1 else []  # not into another architecture
    env = {
        "PYTHONPATH": os.pathsep.join([*map(str, paths), *filter(None, inherited)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        # OpenBLAS uses AVX in its kernels for Nehalem, so that numpy could not even be imported there.
        "OPENBLAS_CORETYPE": "Prescott" if "Nehalem" in interpreter else "",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return json.loads(run([*interpreter, "-m", "tests.cpus.probe", str(inputs)], env=env))


def report(cpu: str, found: Any, expected: dict[str, str], kernels: tuple[str, ...], seconds: float) -> int:
    """Prints a line for each kernel set and digest; returns how many are wrong."""
    wrong = 0
    if tuple(found["kernels"]) != kernels:
        wrong += 1
        print(f"{cpu}: kernel sets {found['kernels']}, expected {list(kernels)}: WRONG DISPATCH")
    for name, digests in found["digests"].items():
        for what, value in digests.items():
            equal = value == expected[what]
            wrong += not equal
            label = what if what == GOLDEN else "/".join(Path(what).parts[-3:-1])
            selected = "selected" if name == found["kernels"][0] else ""
            verdict = "equal" if equal else "DIFFERENT"
            print(f"{cpu:12} {name:13} {selected:9} {label:22} {value[:16]} {verdict}", flush=True)
    print(f"{cpu:12} {seconds:.0f} s", flush=True)
    return wrong


if __name__ == "__main__":
    main()
