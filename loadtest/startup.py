"""From the start of the process to ready, and memory over ten thousand requests: `make bench-startup`.

Every start is a real `intbert serve` in a process of its own. The clock begins before the process does, and ends when
the server logs "ready". The requests are the load test's own, of mixed lengths, to both models and both endpoints.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from loadtest.generator import Call
from loadtest.procfs import cpu_s, resident_mib
from loadtest.texts import classify_calls, qa_calls

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "loadtest" / "results" / "startup.json"
# The float variants are loaded at once when answers are compared with theirs.
MODES = {"int8": (), "int8 and FP32": ("INTBERT_SHADOW_RATE=0.000001",)}
READY_S = 120.0
CLIENTS = 2


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start. `cpu_s` is the processor time of all threads until then; `onnxruntime`: whether it is in memory."""

    ready_s: float
    cpu_s: float
    resident_mib: float
    onnxruntime: bool


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    pid: int
    url: str
    start: Start


@contextmanager
def server(store: Path, variables: Sequence[str] = ()) -> Iterator[Server]:
    """Serve `store` on a free port until the block ends. RuntimeError with the log when it does not become ready."""
    command = [sys.executable, "-m", "intbert.cli", "serve", "--store", str(store), "--port", "0"]
    started_s = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - our own program, no shell
        ["/usr/bin/env", *variables, *command, "--log-format", "json"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    guard = threading.Timer(READY_S, process.kill)
    guard.start()
    try:
        url = _until_ready(process)
        ready_s = time.monotonic() - started_s
        guard.cancel()
        threading.Thread(target=lambda: list(process.stderr or ()), daemon=True).start()  # else the log's pipe fills
        yield Server(pid=process.pid, url=url, start=_measure(process.pid, ready_s))
    finally:
        guard.cancel()
        process.kill()
        process.wait()


def _until_ready(process: "subprocess.Popen[bytes]") -> str:
    url, log = "", []
    for line in process.stderr or ():
        log.append(line.decode(errors="replace"))
        event = json.loads(line) if line.startswith(b"{") else {}
        if event.get("event") == "listening":
            url = event["address"]
        if event.get("event") == "ready":
            return url
        if event.get("event") == "not ready":
            break
    raise RuntimeError(f"the server did not become ready within {READY_S:g} s; it said:\n{''.join(log[-20:])}")


def _measure(pid: int, ready_s: float) -> Start:
    return Start(
        ready_s=ready_s,
        cpu_s=cpu_s(pid),
        resident_mib=resident_mib(pid),
        onnxruntime="onnxruntime" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8"),
    )


def memory_over_requests(store: Path, *, warm_up: int, requests: int, every: int) -> dict[str, Any]:
    """Resident memory after `warm_up` requests, and after every `every` of the `requests` that follow."""
    texts = classify_calls(None, variant="int8", root=ROOT, seed=1)
    questions = qa_calls(None, variant="int8", root=ROOT, seed=1)
    calls = cycle(chain.from_iterable(zip(texts, cycle(questions), strict=False)))
    with server(store) as running, httpx.Client(base_url=running.url, timeout=60, trust_env=False) as client:
        send(client, islice(calls, warm_up))
        samples = [resident_mib(running.pid)]
        for count in [every] * (requests // every):
            send(client, islice(calls, count))
            samples.append(resident_mib(running.pid))
            typer.echo(f"{samples[-1]:.1f} MiB", err=True)
    return {
        "at_ready_mib": running.start.resident_mib,
        "warm_up_requests": warm_up,
        "requests": requests,
        "every": every,
        "resident_mib": samples,
        "growth_mib": samples[-1] - samples[0],
    }


def send(client: httpx.Client, calls: Iterator[Call]) -> None:
    """All of them, a few at a time. HTTPStatusError when one is not answered with 200."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        for _ in threads.map(lambda call: client.post(call.path, json=call.body).raise_for_status(), calls):
            pass


def table(document: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["| start with | ready, s | processor time, s | resident, MiB | ONNX Runtime |", "|---|---|---|---|---|"]
    for mode, starts in document["starts"].items():
        times = [start["ready_s"] for start in starts]
        spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f}, {len(times)} starts)"
        processor_s = statistics.median(start["cpu_s"] for start in starts)
        memory = statistics.median(start["resident_mib"] for start in starts)
        loaded = "loaded" if starts[0]["onnxruntime"] else "not loaded"
        lines.append(f"| {mode} | {spread} | {processor_s:.2f} | {memory:.0f} | {loaded} |")
    return "\n".join([*lines, "", _memory_line(document["memory"])])


def _memory_line(memory: dict[str, Any]) -> str:
    first, last = memory["resident_mib"][0], memory["resident_mib"][-1]
    return (
        f"Resident memory (int8): {memory['at_ready_mib']:.1f} MiB when ready, {first:.1f} MiB after "
        f"{memory['warm_up_requests']} requests, {last:.1f} MiB after {memory['requests']} more."
    )


def main(
    starts: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 11,
    warm_up: Annotated[int, typer.Option(min=1, help="Requests before memory is read for the first time.")] = 1000,
    requests: Annotated[int, typer.Option(min=0, help="Requests between the first reading and the last.")] = 10_000,
    store: Annotated[Path, typer.Option(help="Model store.")] = ROOT / "model_store",
    out: Annotated[Path, typer.Option(help="Result file.")] = RESULT,
) -> None:
    """Time to ready with the int8 variants alone and with FP32, in turns; then memory under requests."""
    measured: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    for number in range(starts + 1):
        for mode, variables in MODES.items():
            with server(store, variables) as running:
                if number:  # the first of each kind brings the files into the page cache
                    measured[mode].append(asdict(running.start))
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_end": os.getloadavg()[0],
        "starts": measured,
        "memory": memory_over_requests(store, warm_up=warm_up, requests=requests, every=max(1, requests // 10)),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"{table(document)}\n\nwrote {out}")


if __name__ == "__main__":
    typer.run(main)
