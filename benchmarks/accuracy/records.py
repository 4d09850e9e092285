"""One measured cell as a JSON file: `<folder>/<task>/<variant>-<seed>.json`, small enough to read in a diff."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cells import Cell
from benchmarks.models import ROOT

FORMAT = 1
FOLDER = ROOT / "benchmarks" / "results" / "accuracy"


@dataclass(frozen=True, kw_only=True)
class Score:
    """Metrics in percent on one set."""

    metrics: Mapping[str, float]
    examples: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a cell gave, and what is needed to judge it or build it again."""

    format: int = FORMAT
    task: str
    variant: str
    seed: int
    score: Score  # on the dev data
    elsewhere: Mapping[str, Score] = field(default_factory=dict)  # file of another domain -> score
    engine: str
    size_bytes: int  # of the variant's file
    fp32_bytes: int  # of the original at four bytes a parameter
    stage_s: Mapping[str, float]  # stages that trained or calibrated for this cell -> wall-clock seconds
    device: str  # what trained and calibrated: the processor's or the accelerator's name
    command: str
    commit: str
    measured_at: str  # ISO 8601, UTC
    versions: Mapping[str, str]
    data_sha256: Mapping[str, str]  # file below the data root -> hash
    teacher_sha256: str  # of the FP32 teacher's weights
    file_sha256: str  # of the variant's file

    @property
    def cell(self) -> Cell:
        """Where it stands in the table."""
        return Cell(task=self.task, variant=self.variant, seed=self.seed)

    def save(self, folder: Path) -> Path:
        """Write it; a reader never sees half of it."""
        path = path_of(self.cell, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        draft.rename(path)
        return path

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read one. ValueError when it has another format."""
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("format") != FORMAT:
            raise ValueError(f"{path} has format {raw.get('format')!r}, this version reads {FORMAT}; measure again")
        elsewhere = {name: Score(**score) for name, score in raw["elsewhere"].items()}
        return cls(**{**raw, "score": Score(**raw["score"]), "elsewhere": elsewhere})


def path_of(cell: Cell, folder: Path) -> Path:
    """The cell's file."""
    return folder / cell.task / f"{cell.variant}-{cell.seed}.json"


def load_records(folder: Path) -> dict[Cell, Record]:
    """Every record below `folder`."""
    records = (Record.load(path) for path in sorted(folder.glob("*/*.json")))
    return {record.cell: record for record in records}
