"""An engine's process, stopped by signal while others are measured: no thread of it can spin then."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.models import ROOT, Files, Model
from loadtest.procfs import cpu_s


class WorkerError(RuntimeError):
    """A process ended or refused a request."""


class Process:
    """A child that answers one line of JSON with another."""

    def __init__(self, name: str, command: list[str], *, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name = name
        self._log = log
        variables = [f"{name}={value}" for name, value in environment.items()]
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                ["env", *variables, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                text=True,
            )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Wake the process, put one request, wait for the answer, stop the process again. WorkerError."""
        self._process.send_signal(signal.SIGCONT)
        if self._process.stdin is None:
            raise WorkerError(f"{self.name} takes no requests")
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(f"{self.name} has ended; see {self._log}") from error
        answer = self.read()
        self.pause()
        return answer

    def read(self) -> dict[str, Any]:
        """The next answer. WorkerError when the process ended instead."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self.name} ended with {code}; see {self._log}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def pause(self) -> None:
        """Stop it until the next request."""
        self._process.send_signal(signal.SIGSTOP)

    def cpu_s(self) -> float:
        """Processor time of all its threads so far."""
        return cpu_s(self._process.pid)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_worker(engine: str, model: Model, files: Files, *, threads: int, cores: list[int], logs: Path) -> Process:
    """Load an engine in a process of its own on `cores`; returns when it is ready. WorkerError names its log."""
    command = [sys.executable, "-m", "benchmarks.worker", "--engine", engine, "--files", str(files.folder)]
    command += ["--threads", str(threads), "--cores", ",".join(map(str, cores)), "--vocabulary", str(model.vocabulary)]
    environment = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    log = logs / f"{model.name}-{engine}-{threads}.log"
    process = Process(engine, command, environment=environment, log=log)
    try:
        process.read()
    except WorkerError:
        process.close()
        raise
    process.pause()
    return process
