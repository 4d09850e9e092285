"""What was measured on: processor, versions, commit."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.engines.catalog import entry_of
from benchmarks.models import ROOT

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp")


def cores_for(threads: int) -> list[int]:
    """Which processors `threads` threads are bound to. One thread keeps off the first, where interrupts go.

    ValueError when this process may not use so many.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if threads > len(allowed):
        raise ValueError(f"{threads} threads need as many processors; this process may use {len(allowed)}")
    return allowed[-threads:]


def describe_machine() -> dict[str, Any]:
    """Name, processors that may be used, the flags that decide, memory."""
    fields = cpu_fields()
    present = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.machine()),
        "family": fields.get("cpu family", ""),
        "model": fields.get("model", ""),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in present],
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": platform.platform(),
        "load_at_start": os.getloadavg()[0],
    }


def cpu_fields() -> dict[str, str]:
    """Of the first processor in the system's list."""
    try:
        first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def versions(engines: Iterable[str]) -> dict[str, str]:
    """Of the libraries behind these engines, and of what decides beside them."""
    packages = {entry_of(name).package for name in engines}
    found = {"python": platform.python_version()}
    for package in sorted(packages | {"nncf", "numpy", "transformers"}):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "from the checkout" if package == "intbert" else "missing"
    return found


def commit() -> str:
    """The checkout's commit, with a plus sign when files differ from it; "unknown" outside a checkout."""
    try:
        name = git("rev-parse", "--short=12", "HEAD").strip()
        return name + ("+" if git("status", "--porcelain", "--untracked-files=no").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    """Standard output."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
