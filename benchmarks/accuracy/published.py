"""The papers' own figures, from published.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "published.toml"
AVERAGE = "average"


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One system. `values`: task (or "average") -> main metric; `base`: the row that differences are taken to."""

    name: str
    values: Mapping[str, float]
    base: str | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """One paper's table."""

    paper: str
    backbone: str
    rows: tuple[PublishedRow, ...]

    def difference(self, row: PublishedRow, task: str) -> float | None:
        """To the base row, where both have the figure."""
        base = next((item for item in self.rows if item.name == row.base), None)
        if base is None or task not in row.values or task not in base.values:
            return None
        return row.values[task] - base.values[task]


def load_published(path: Path = FILE) -> list[Published]:
    """Every paper's table."""
    sources: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["source"]
    return [
        Published(
            paper=item["paper"], backbone=item["backbone"], rows=tuple(PublishedRow(**row) for row in item["row"])
        )
        for item in sources
    ]
