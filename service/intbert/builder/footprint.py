"""Memory of one variant in a fresh process: `python -m intbert.builder.footprint PACKAGE VARIANT TOKENS` prints JSON.

A process of its own, since one process's resident memory cannot be split between variants.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.engines import load_engine

STATUS = Path("/proc/self/status")
RUNS = 3


def measure_footprint(package: Path, variant: str, tokens: int, timeout_s: float = 120) -> dict[str, int]:
    """Resident bytes of a fresh process: `before` the variant is loaded, `after` some runs, and the `peak`."""
    command = [sys.executable, "-m", __name__, str(package), variant, str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout_s)  # noqa: S603 # our own
    result: dict[str, int] = json.loads(done.stdout)
    return result


def main(package: str, variant: str, tokens: str) -> None:
    """What the fresh process does."""
    opened = Package.open(Path(package))
    before = resident_bytes("VmRSS")
    session = load_engine(opened, variant).session(1)
    count = int(tokens)
    batch = RaggedBatch(
        token_ids=np.arange(count, dtype=np.int32) % opened.manifest.architecture.vocabulary,
        type_ids=np.zeros(count, dtype=np.int32),
        cumulative_lengths=np.array([0, count], dtype=np.int32),
    )
    for _ in range(RUNS):
        session.run(batch)
    sizes = {"before": before, "after": resident_bytes("VmRSS"), "peak": resident_bytes("VmHWM")}
    sys.stdout.write(json.dumps(sizes))


def resident_bytes(name: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
