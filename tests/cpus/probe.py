"""What one CPU computes: run by an interpreter for that CPU, with intbert, numpy and safetensors on its path.

`python -m tests.cpus.probe INPUTS`: prints a JSON object, for every kernel set that the CPU can run the digests of the
logits of the golden programs and of each model in INPUTS.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from intbert.arithmetic.program import Program
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.native import NativeEngine, supported_kernels
from tests.arithmetic.golden import CASES, read_json, read_program

GOLDEN = "golden"


def main() -> None:
    inputs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    kernel_sets = supported_kernels()
    print(json.dumps({"kernels": kernel_sets, "digests": {name: digests(name, inputs) for name in kernel_sets}}))


def digests(kernels: str, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Of the golden programs together, and of each model file by name."""
    golden = read_json("programs.json")["programs"]
    logits = [array for case in CASES for array in run(read_program(case), golden[case], kernels)]
    models = {path: run(Program.from_tensors(load_file(path)), batches, kernels) for path, batches in inputs.items()}
    return {GOLDEN: digest(logits)} | {path: digest(arrays) for path, arrays in models.items()}


def run(program: Program, batches: Iterable[dict[str, Any]], kernels: str) -> list[Any]:
    """Logits of each batch, by one session of one thread and by one of two, which must agree."""
    engine = NativeEngine(program, logit_scale=1.0, kernels=kernels)
    results = []
    for batch in batches:
        names = ("token_ids", "type_ids", "cumulative_lengths")
        ragged = RaggedBatch(**{name: np.array(batch[name], dtype=np.int32) for name in names})
        alone, shared = (engine.session(threads).run(ragged).copy() for threads in (1, 2))
        if not np.array_equal(alone, shared):
            raise SystemExit(f"{kernels}: two threads give other logits than one")
        results.append(alone)
    return results


def golden_digest() -> str:
    """Of the logits that are committed."""
    golden = read_json("programs.json")["programs"]
    return digest(np.array(batch["logits"], dtype=np.int32) for case in CASES for batch in golden[case])


def digest(arrays: Iterable[Any]) -> str:
    """SHA-256 of shapes and little-endian values."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.shape}".encode())
        state.update(array.astype("<i4").tobytes())
    return state.hexdigest()


if __name__ == "__main__":
    main()
