"""One engine in a process of its own: reads requests, a JSON object a line, and answers each with one line.

Started by `process.Worker`; never by hand.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from benchmarks.engines.catalog import open_engine
from benchmarks.engines.protocol import Engine
from benchmarks.models import Files
from benchmarks.stream import generator, in_batches, random_lengths, random_rows

STATUS = Path("/proc/self/status")


def main() -> None:
    """Load, say ready, answer until the input ends."""
    arguments = parse_arguments()
    os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    answers = private_output()
    engine = open_engine(arguments.engine, Files(folder=arguments.files), arguments.threads)
    reply(answers, {"ready": True})
    for line in sys.stdin:
        reply(answers, answer(engine, json.loads(line), arguments.vocabulary))


def parse_arguments() -> argparse.Namespace:
    """What `process.Worker` passes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cores", required=True)
    parser.add_argument("--vocabulary", type=int, required=True)
    return parser.parse_args()


def private_output() -> IO[str]:
    """Standard output for answers alone; what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def reply(answers: IO[str], content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def answer(engine: Engine, request: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """The operations: run, stream, logits, memory. KeyError for any other."""
    operations = {"run": run, "stream": stream, "logits": logits}
    if request["operation"] == "memory":
        return memory()
    return operations[request["operation"]](engine, request, vocabulary)


def run(engine: Engine, request: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """Times of `runs` forward passes, each on other random tokens, after `warm` that don't count."""
    random = generator(request["seed"])
    lengths = [request["tokens"]] * request["batch"]
    times_ms: list[float] = []
    for index in range(-request["warm"], request["runs"]):
        prepared = engine.prepare(random_rows(random, lengths, vocabulary))
        started_s = time.perf_counter()
        engine.run(prepared)
        if index >= 0:
            times_ms.append(1000 * (time.perf_counter() - started_s))
    return {"times_ms": times_ms}


def stream(engine: Engine, request: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """Time of a whole stream of mixed lengths, in batches of `batch` in order of arrival, and its real tokens."""
    random = generator(request["seed"])
    lengths = random_lengths(random, request["sequences"])
    batches = in_batches(random_rows(random, lengths, vocabulary), request["batch"])
    prepared = [engine.prepare(batch) for batch in batches]
    engine.run(prepared[0])
    started_s = time.perf_counter()
    for item in prepared:
        engine.run(item)
    time_s = time.perf_counter() - started_s
    padded_tokens = sum(len(batch) * max(len(row) for row in batch) for batch in batches)
    return {"time_s": time_s, "tokens": sum(lengths), "padded_tokens": padded_tokens}


def logits(engine: Engine, request: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """Of random sequences, for the check that all engines compute the same model. One row a sequence."""
    rows = random_rows(generator(request["seed"]), request["lengths"], vocabulary)
    found = np.asarray(engine.run(engine.prepare(rows)), dtype=np.float64)
    if len(found) != len(rows):  # an output for every token
        starts = np.cumsum([0, *request["lengths"][:-1]])
        found = found[starts]
    return {"logits": found.tolist()}


def memory() -> dict[str, Any]:
    """Resident bytes of this process, now and at its peak. Unlike getrusage, nothing is inherited from the parent."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return {name: 1024 * int(lines[key].split()[0]) for name, key in (("bytes", "VmRSS"), ("peak_bytes", "VmHWM"))}


if __name__ == "__main__":
    main()
