"""Who is measured: our server, and the peers with each of the settings that are tried."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.http.processes import Server, running
from benchmarks.models import ROOT, STORE, bundled
from loadtest.generator import Call
from loadtest.server import free_port

PEERS = Path(__file__).parent / "peers"
PACKAGE = bundled("sst2-minilm-l6")
# 30 tokens with [CLS] and [SEP]; every word is one token
SENTENCE = (
    "the film was a good and very thin story about people who never knew how to love each other in time of war but it "
    "is still fun to watch with friends at home"
)
WORDS = tuple(SENTENCE.split())
TEXT_WORDS = 28
TEXTS = 200


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One way to run a peer: `workers` processes with `threads` each, batches of `batch` after at most `wait_s`."""

    workers: int
    threads: int
    batch: int
    wait_s: float

    def __str__(self) -> str:
        batches = "no batches" if self.batch == 1 else f"batches of {self.batch} within {1000 * self.wait_s:g} ms"
        return f"{self.workers} x {self.threads} threads, {batches}"


LITSERVE_TUNINGS = (
    Tuning(workers=2, threads=1, batch=1, wait_s=0.0),
    Tuning(workers=2, threads=1, batch=8, wait_s=0.005),
    Tuning(workers=2, threads=1, batch=16, wait_s=0.01),
    Tuning(workers=1, threads=2, batch=16, wait_s=0.01),
)
BENTOML_TUNINGS = (
    Tuning(workers=2, threads=1, batch=1, wait_s=1.0),
    Tuning(workers=2, threads=1, batch=16, wait_s=1.0),
    Tuning(workers=1, threads=1, batch=32, wait_s=1.0),
    Tuning(workers=1, threads=2, batch=32, wait_s=1.0),
)
TUNINGS: Mapping[str, tuple[Tuning, ...]] = {"LitServe": LITSERVE_TUNINGS, "BentoML": BENTOML_TUNINGS}


def texts() -> list[str]:
    """Different texts of 30 tokens each."""
    return [
        " ".join(WORDS[(start * 7 + step * (1 + start % 5)) % len(WORDS)] for step in range(TEXT_WORDS))
        for start in range(TEXTS)
    ]


def calls_of(name: str) -> list[Call]:
    """One text a request, in each server's shape; ours by variant."""
    if name == "BentoML":
        return [Call(path="/classify", body={"inputs": [text]}) for text in texts()]
    if name == "LitServe":
        return [Call(path="/classify", body={"inputs": text}) for text in texts()]
    variant = {"variant": "fp32"} if name.endswith("FP32") else {}
    return [Call(path="/classify", body={"inputs": text, "parameters": variant}) for text in texts()]


@contextmanager
def ours(name: str = "intbert", **settings: str) -> Iterator[Server]:
    """Our server with its defaults, logs as in the image; `settings` without the prefix."""
    port = free_port()
    command = [sys.executable, "-m", "intbert.cli", "serve", "--store", str(STORE), "--port", str(port)]
    variables = {f"INTBERT_{key.upper()}": value for key, value in ({"log_format": "json"} | settings).items()}
    with running(name, command, variables=variables, port=port, ready_path="/readyz", folder=ROOT) as server:
        yield server


@contextmanager
def peer(name: str, tuning: Tuning, *, python: Path, model: Path) -> Iterator[Server]:
    """A peer from the environment of `python`."""
    port = free_port()
    variables = {
        "PEER_PACKAGE": str(PACKAGE),
        "PEER_MODEL": str(model),
        "PEER_PORT": str(port),
        "PEER_WORKERS": str(tuning.workers),
        "PEER_THREADS": str(tuning.threads),
        "PEER_BATCH": str(tuning.batch),
        "PEER_WAIT_S": str(tuning.wait_s),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(PEERS),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    if name == "LitServe":
        command, ready_path = [str(python), "litserve_app.py"], "/health"
    else:
        serve = ["serve", "bentoml_service:Sentiment", "--host", "127.0.0.1", "--port", str(port)]
        command, ready_path = [str(python), "-m", "bentoml", *serve], "/readyz"
    with running(name, command, variables=variables, port=port, ready_path=ready_path, folder=PEERS) as server:
        yield server


def dynamic_int8(folder: Path) -> Path:
    """Our package's FP32 graph after ONNX Runtime's dynamic quantisation: s8 weights."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "int8-dynamic.onnx"
    quantize_dynamic(str(PACKAGE / "fp32.onnx"), str(target), weight_type=QuantType.QInt8)
    return target
