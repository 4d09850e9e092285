"""Programs of the distribution that emulation needs."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = {  # program -> Debian's package
    "qemu-x86_64": "qemu-user",
    "qemu-aarch64": "qemu-user",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "aarch64-linux-gnu-objdump": "binutils-aarch64-linux-gnu",
}


class CpuCheckError(Exception):
    """The check can't run, or it failed; the message says which and what to do."""


def ensure_tools() -> None:
    """Install what is missing, as root; CpuCheckError names the packages otherwise."""
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CpuCheckError(f"NOTHING WAS CHECKED: install {' '.join(missing)} (apt-get install), or run this as root")
    run(["apt-get", "update", "--quiet"])
    run(["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing])


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> str:
    """What the command prints. CpuCheckError with its output when it fails."""
    merged = {**os.environ, **(env or {})}
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=merged)
    if result.returncode != 0:
        lines = (result.stdout + result.stderr).strip().splitlines()[-15:]
        raise CpuCheckError(f"{' '.join(map(str, command))} ended with {result.returncode}:\n" + "\n".join(lines))
    return result.stdout
