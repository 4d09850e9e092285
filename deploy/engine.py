"""A container engine: the one that runs already, or one of our own for the time of the check."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT = "20000:20000"


class CheckError(Exception):
    """Something does not hold; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """How to reach the engine."""

    command: Sequence[str]

    def run(self, *arguments: str, timeout_s: float = 900) -> str:
        """Run a docker command, return what it prints. Raises CheckError with the end of its output."""
        return run(["env", "DOCKER_BUILDKIT=0", *self.command, *arguments], timeout_s=timeout_s)

    def succeeds(self, *arguments: str, timeout_s: float = 60) -> bool:
        """Whether a docker command ends well."""
        with contextlib.suppress(CheckError):
            self.run(*arguments, timeout_s=timeout_s)
            return True
        return False


def run(command: Sequence[str], *, timeout_s: float = 900) -> str:
    """Run a command, return its standard output. Raises CheckError with the end of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise CheckError(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


@contextlib.contextmanager
def container_engine() -> Iterator[Engine]:
    """Yield a working engine with the compose plugin. Raises CheckError when there is none and none can be started."""
    with tempfile.TemporaryDirectory(prefix="intbert-engine-") as folder:
        configuration = _with_compose(Path(folder) / "config")
        running = Engine(command=("docker", "--config", str(configuration)))
        if running.succeeds("info"):
            yield running
            return
        if shutil.which("dockerd") is None:
            raise CheckError("no container engine answers and dockerd is not installed: apt-get install docker.io")
        with _own_engine(Path(folder), configuration) as engine:
            yield engine


def _with_compose(configuration: Path) -> Path:
    """A client configuration in which `docker compose` is the one that the development requirements install."""
    plugins = configuration / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(Path(sys.executable).parent / "docker-compose")
    return configuration


@contextlib.contextmanager
def _own_engine(folder: Path, configuration: Path) -> Iterator[Engine]:
    """dockerd in a folder of its own: no firewall rules, no default bridge, modest limits; works inside containers."""
    address = f"unix://{folder}/docker.sock"
    places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    limits = ["--default-ulimit", f"nofile={LIMIT}", "--default-ulimit", f"nproc={LIMIT}"]
    command = ["dockerd", "--iptables=false", "--bridge=none", "--host", address, *places, *limits]
    engine = Engine(command=("docker", "--config", str(configuration), "--host", address))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(120):
            if engine.succeeds("info"):
                break
            if process.poll() is not None:
                raise CheckError(f"dockerd did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.5)
        yield engine
    finally:
        process.terminate()
        process.wait(timeout=60)
        _unmount_below(folder)


def _unmount_below(folder: Path) -> None:
    """dockerd leaves the mount of the host's network name space behind, and the folder could not be removed."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        run(["umount", place])
