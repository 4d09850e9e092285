"""Records of cells, made up for tests."""

from benchmarks.accuracy.cells import FP32, INT8, TASKS, VARIANTS, Cell, Task
from benchmarks.accuracy.records import Record, Score

DROPS = {FP32: 0.0, "dq": 1.0, "ptq": 4.0, "mp-ptq": 0.5, "peg-ptq": 0.75, "peg-ptq-float": 0.625, "q8bert": 0.25}


def record(cell: Cell, value: float, **changes: object) -> Record:
    """Every metric has the same value; the teacher is the seed's."""
    task = next(task for task in TASKS if task.name == cell.task)
    score = Score(metrics=dict.fromkeys(task.metrics, value), examples=400)
    words: dict[str, object] = {
        "task": cell.task,
        "variant": cell.variant,
        "seed": cell.seed,
        "score": score,
        "elsewhere": dict.fromkeys(task.elsewhere, score) if cell.variant in (FP32, INT8) else {},
        "engine": "an engine",
        "size_bytes": 2**20,
        "fp32_bytes": 2**22,
        "stage_s": {"finetune": 12.0},
        "device": "CPU: a CPU",
        "command": f"make results CELL={cell}",
        "commit": "abc",
        "measured_at": "2020-02-02T00:00:00+00:00",
        "versions": {"python": "3.11"},
        "data_sha256": {f"{cell.task}/dev.tsv": "00"},
        "teacher_sha256": f"{cell.task}-{cell.seed}",
        "file_sha256": "11",
    }
    return Record(**{**words, **changes})  # type: ignore[arg-type]


def cells_of(task: Task) -> dict[Cell, Record]:
    """All variants; FP32 is at 80 plus the seed, the others a fixed drop below, int8 a quarter above."""
    found = {}
    for seed in task.seeds:
        for variant in VARIANTS:
            cell = Cell(task=task.name, variant=variant, seed=seed)
            found[cell] = record(cell, 80.0 + seed - DROPS.get(variant, -0.25))
    return found


def everything() -> dict[Cell, Record]:
    """A full table."""
    return {cell: item for task in TASKS for cell, item in cells_of(task).items()}
