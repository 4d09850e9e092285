"""Servers in process groups of their own: started, waited for, held by signal while others are measured, ended."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from loadtest.procfs import cpu_s, resident_mib

READY_S = 90.0
END_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running one; `pid` leads its process group."""

    name: str
    pid: int
    url: str

    def hold(self) -> None:
        """No processor time until `go_on`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """As before."""
        os.killpg(self.pid, signal.SIGCONT)

    def cpu_s(self) -> float:
        """Processor time of all its processes, from the kernel."""
        return sum(_cpu_s(pid) for pid in _group(self.pid))

    def resident_mib(self) -> float:
        """Of the leader."""
        return resident_mib(self.pid)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the series of one of our metrics."""
        text = httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextmanager
def running(
    name: str, command: Sequence[str], *, variables: Mapping[str, str], port: int, ready_path: str, folder: Path
) -> Iterator[Server]:
    """Until the block ends. RuntimeError with the end of the log when it does not become ready."""
    with tempfile.TemporaryFile(mode="w+") as log:
        process = subprocess.Popen(
            command, env=os.environ | dict(variables), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(name=name, pid=process.pid, url=f"http://127.0.0.1:{port}")
        try:
            if not _becomes_ready(server.url + ready_path, process):
                log.seek(0)
                raise RuntimeError(f"{name} did not become ready within {READY_S:g} s:\n{log.read()[-3000:]}")
            yield server
        finally:
            _end(process)


def _becomes_ready(url: str, process: "subprocess.Popen[bytes]") -> bool:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return True
        time.sleep(0.1)
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The whole group: some servers leave workers behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            pid = int(entry.name)
            if os.getpgid(pid) == leader:
                found.append(pid)
    return found


def _cpu_s(pid: int) -> float:
    """0 for a process that has ended."""
    try:
        return cpu_s(pid)
    except OSError:
        return 0.0
