"""CPU limits of the control group, both versions."""

import math
from pathlib import Path

import pytest

from intbert.telemetry.cgroup import read_cgroup_cpu, read_memory_limit_bytes


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_version_2_takes_the_tightest_quota_of_all_ancestors(tmp_path: Path) -> None:
    """A parent's quota binds its children."""
    write(
        tmp_path,
        {
            "self": "0::/a/b\n",
            "fs/a/cpu.max": "150000 100000\n",
            "fs/a/b/cpu.max": "400000 100000\n",
            "fs/a/b/cpu.stat": "usage_usec 5\nthrottled_usec 2500000\n",
        },
    )
    cpu = read_cgroup_cpu(mount=tmp_path / "fs", membership=tmp_path / "self")
    assert (cpu.limit_cores, cpu.throttled_s) == (1.5, 2.5)


def test_version_1_reads_the_cpu_controller(tmp_path: Path) -> None:
    """The quota in microseconds a period; -1 is none."""
    write(
        tmp_path,
        {
            "self": "4:cpu,cpuacct:/job\n3:memory:/job\n",
            "fs/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
            "fs/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "fs/cpu,cpuacct/job/cpu.stat": "nr_periods 1\nthrottled_time 3000000000\n",
            "fs/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "fs/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    cpu = read_cgroup_cpu(mount=tmp_path / "fs", membership=tmp_path / "self")
    assert (cpu.limit_cores, cpu.throttled_s) == (0.5, 3.0)


@pytest.mark.parametrize("membership", ["0::/\n", "", "nonsense without colons\n"])
def test_no_quota_is_infinite(tmp_path: Path, membership: str) -> None:
    """No limit is infinity, never zero cores; unreadable files are no limit."""
    write(tmp_path, {"self": membership, "fs/cpu.max": "max 100000\n"})
    cpu = read_cgroup_cpu(mount=tmp_path / "fs", membership=tmp_path / "self")
    assert math.isinf(cpu.limit_cores)
    assert cpu.throttled_s == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"self": "0::/a/b\n", "fs/a/memory.max": "1000000\n", "fs/a/b/memory.max": "max\n"}, 1_000_000),
        ({"self": "0::/a\n", "fs/a/memory.max": "max\n"}, None),
        ({"self": "7:memory:/a\n3:cpu:/b\n", "fs/memory/a/memory.limit_in_bytes": "2000000\n"}, 2_000_000),
        ({"self": "7:memory:/a\n", "fs/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({}, None),
    ],
)
def test_the_tightest_memory_limit(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    """Of both versions; their ways to say that there is none."""
    write(tmp_path, files)
    assert read_memory_limit_bytes(mount=tmp_path / "fs", membership=tmp_path / "self") == expected
