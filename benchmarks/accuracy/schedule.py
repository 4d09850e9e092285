"""Many cells in a sensible order: one process for each teacher, a few of them at a time."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.accuracy.cells import TRAINED, Cell

# The longest first, so that two processes end at about the same time
LONGEST = ("squad", "sst2", "cola", "stsb", "mrpc", "rte")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells of one teacher."""

    cells: tuple[Cell, ...]

    @property
    def untrained(self) -> tuple[Cell, ...]:
        """Made first: seconds to minutes each, once the teacher is there."""
        return tuple(cell for cell in self.cells if cell.variant not in TRAINED)

    @property
    def trained(self) -> tuple[Cell, ...]:
        """Those that train for themselves."""
        return tuple(cell for cell in self.cells if cell.variant in TRAINED)

    @property
    def name(self) -> str:
        """ "mrpc, seed 1"."""
        return f"{self.cells[0].task}, seed {self.cells[0].seed}"


def groups_of(cells: Iterable[Cell]) -> list[Group]:
    """First seeds of all tasks before second ones, long tasks before short ones."""
    found: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.task, cell.seed), []).append(cell)
    ranks: dict[tuple[str, int], int] = {}
    for task in {task for task, _ in found}:
        for rank, seed in enumerate(sorted(seed for name, seed in found if name == task)):
            ranks[task, seed] = rank
    order = sorted(found, key=lambda key: (ranks[key], LONGEST.index(key[0]) if key[0] in LONGEST else -1, key))
    return [Group(cells=tuple(found[key])) for key in order]


def run_groups(
    groups: Sequence[Group], options: Sequence[str], *, jobs: int, say: Callable[[str], None]
) -> list[Group]:
    """Run `python -m benchmarks.accuracy CELLS OPTIONS` for each group; returns those that failed."""

    def run(group: Group) -> int:
        say(f"{group.name}: {', '.join(cell.variant for cell in group.cells)}")
        command = [sys.executable, "-m", "benchmarks.accuracy", *map(str, group.cells), *options]
        code = subprocess.run(command, check=False).returncode
        say(f"{group.name}: {'done' if code == 0 else f'exit code {code}'}")
        return code

    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(run, groups))
    return [group for group, code in zip(groups, codes, strict=True) if code != 0]
