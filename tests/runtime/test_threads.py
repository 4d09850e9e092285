"""The thread plan follows quota and allowed CPUs, and says why."""

import pytest

from intbert.errors import ConfigError
from intbert.runtime.threads import Machine, plan_threads, read_machine

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("allowed", "quota", "cores"),
    [(8, INFINITE, 8), (8, 2.0, 2), (8, 2.5, 2), (8, 0.5, 1), (2, 8.0, 2), (1, INFINITE, 1), (64, 3.9999999, 4)],
)
def test_plan_takes_the_smaller_of_quota_and_cpus(allowed: int, quota: float, cores: int) -> None:
    """A quota is rounded down: threads above it would be throttled together."""
    plan = plan_threads(Machine(allowed_cpus=allowed, quota_cores=quota))
    assert (plan.workers, plan.threads_alone) == (cores, cores)


def test_plan_says_why() -> None:
    """Whoever wonders about speed finds the number's reason."""
    assert "quota of 2 cores on 8" in plan_threads(Machine(allowed_cpus=8, quota_cores=2.0)).reason
    assert "as configured" in plan_threads(Machine(allowed_cpus=8, quota_cores=4.0), threads=4).reason


def test_configured_numbers_win() -> None:
    """Threads first, then workers among them."""
    plan = plan_threads(Machine(allowed_cpus=8, quota_cores=INFINITE), threads=4, workers=3)
    assert (plan.workers, plan.threads_alone) == (3, 4)


def test_impossible_plans_are_refused() -> None:
    """More workers than cores, or negative numbers."""
    machine = Machine(allowed_cpus=2, quota_cores=INFINITE)
    with pytest.raises(ConfigError, match="3 workers"):
        plan_threads(machine, workers=3)
    with pytest.raises(ConfigError, match="negative"):
        plan_threads(machine, threads=-1)


@pytest.mark.parametrize(("allowed", "quota", "limit"), [(8, 2.5, "there are 2"), (2, INFINITE, "there are 2")])
def test_configured_threads_never_exceed_the_machine(allowed: int, quota: float, limit: str) -> None:
    """Neither the quota nor the affinity: the error says what is asked for, what there is, and what to set."""
    with pytest.raises(ConfigError, match=f"3 threads are configured, but {limit}.*INTBERT_THREADS"):
        plan_threads(Machine(allowed_cpus=allowed, quota_cores=quota), threads=3)


def test_this_machine_has_a_cpu() -> None:
    """The thin reader gives something to plan with."""
    machine = read_machine()
    assert machine.allowed_cpus >= 1
    assert plan_threads(machine).workers >= 1
