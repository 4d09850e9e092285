"""Limits of this process's control group (cgroup v2, or v1 with its cpu and memory controllers), and CPU throttling."""

from dataclasses import dataclass
from pathlib import Path

UNLIMITED_BYTES = 2**60  # version 1 says "no limit" as a number near 2**63


@dataclass(frozen=True, kw_only=True)
class CgroupCpu:
    """`limit_cores` is infinite without a quota; `throttled_s`: the total time that the quota held us back."""

    limit_cores: float
    throttled_s: float


def read_cgroup_cpu(*, mount: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> CgroupCpu:
    """The tightest quota from our group up to the root. What can't be read counts as no limit and no throttling."""
    limit_cores = float("inf")
    throttled_s = 0.0
    for folder in _folders(mount, membership):
        limit_cores = min(limit_cores, _quota_v2(folder), _quota_v1(folder))
        throttled_s = max(throttled_s, _throttled_s(folder))
    return CgroupCpu(limit_cores=limit_cores, throttled_s=throttled_s)


def read_memory_limit_bytes(
    *, mount: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """The tightest limit from our group up to the root; None without one."""
    texts = (
        _text(folder / name).strip()
        for folder in _folders(mount, membership, controller="memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    )
    limits = [int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED_BYTES]
    return min(limits, default=None)


def _folders(mount: Path, membership: Path, *, controller: str = "cpu") -> list[Path]:
    """Our group and its ancestors below each root; inside a container the root itself is our group."""
    found: list[Path] = []
    for line in _text(membership).splitlines():
        _, separator, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if separator and controllers == "":
            root = mount
        elif controller in controllers.split(","):
            root = mount / controllers
        else:
            continue
        group = root / path.lstrip("/")
        found += [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return found


def _quota_v2(folder: Path) -> float:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float:
    return _ratio(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _ratio(quota_us: str, period_us: str) -> float:
    """ "max" and -1 mean no limit."""
    if quota_us.isdigit() and period_us.isdigit() and int(period_us) > 0:
        return int(quota_us) / int(period_us)
    return float("inf")


def _throttled_s(folder: Path) -> float:
    for line in _text(folder / "cpu.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "throttled_usec":
            return int(value) / 1e6
        if name == "throttled_time":
            return int(value) / 1e9
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
