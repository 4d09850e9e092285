"""How many threads: from the CPU quota and the CPUs that the process may use, never from the machine's size."""

import os
from dataclasses import dataclass

from intbert.errors import ConfigError
from intbert.telemetry.cgroup import read_cgroup_cpu


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this process may use. A cpuset shows in `allowed_cpus`."""

    allowed_cpus: int
    quota_cores: float  # infinite without a quota


@dataclass(frozen=True, kw_only=True)
class ThreadPlan:
    """`workers` batches at a time on one core each, or one batch alone on `threads_alone` cores."""

    workers: int
    threads_alone: int
    reason: str


def read_machine() -> Machine:
    """From the scheduler and the control group."""
    return Machine(allowed_cpus=len(os.sched_getaffinity(0)), quota_cores=read_cgroup_cpu().limit_cores)


def plan_threads(machine: Machine, *, threads: int = 0, workers: int = 0) -> ThreadPlan:
    """0 chooses. More threads than the quota allows would be throttled all at once: it is rounded down, never exceeded.

    ConfigError when more threads are asked for than the machine allows, or more workers than threads.
    """
    if threads < 0 or workers < 0:
        raise ConfigError(f"threads ({threads}) and workers ({workers}) must not be negative")
    allowed, reason = _allowed(machine)
    if threads > allowed:
        raise ConfigError(
            f"{threads} threads are configured, but there are {allowed} ({reason}): more would be throttled. "
            f"Set INTBERT_THREADS to at most {allowed}, or to 0, or allow the process more"
        )
    cores, reason = (threads, f"{threads} threads as configured") if threads else (allowed, reason)
    if workers > cores:
        raise ConfigError(f"{workers} workers need as many threads, but there are {cores} ({reason})")
    return ThreadPlan(workers=workers or cores, threads_alone=cores, reason=reason)


def _allowed(machine: Machine) -> tuple[int, str]:
    """The most threads that may run at a time, and what limits them."""
    if machine.quota_cores < machine.allowed_cpus:
        cores = max(1, int(machine.quota_cores + 1e-6))
        return cores, f"CPU quota of {machine.quota_cores:g} cores on {machine.allowed_cpus} allowed CPUs"
    return machine.allowed_cpus, f"{machine.allowed_cpus} allowed CPUs, no smaller quota"
