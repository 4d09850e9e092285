"""From records to figures: over seeds, against FP32 of the same teacher, over tasks, against what was promised."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.cells import FP32, INT8, TASKS, Cell, Task, all_cells, find_task
from benchmarks.accuracy.records import Record

SPREAD_DEVIATIONS = 2.0
SPREAD_POINTS_MIN = 1.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Over seeds. `deviation`: standard deviation of the sample; None of a single seed."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A promise and what was reached; `aim`: what one hopes for beyond it."""

    what: str
    wanted: float
    aim: str
    reached: float | None  # None: cells are missing

    @property
    def held(self) -> bool:
        """Whether the figure is there and good enough."""
        return self.reached is not None and self.reached >= self.wanted


@dataclass(frozen=True, kw_only=True)
class Table:
    """All records, looked at in the ways that the page needs. Figures are points of percent."""

    records: Mapping[Cell, Record]
    tasks: Sequence[Task] = TASKS

    def of(self, task: Task, variant: str) -> dict[int, Record]:
        """By seed."""
        cells = (Cell(task=task.name, variant=variant, seed=seed) for seed in task.seeds)
        return {cell.seed: self.records[cell] for cell in cells if cell in self.records}

    def figure(self, task: Task, variant: str, metric: str) -> Figure | None:
        """The metric over the seeds there are; None without any."""
        return figure_of([record.score.metrics[metric] for record in self.of(task, variant).values()])

    def difference(self, task: Task, variant: str, against: str = FP32, metric: str | None = None) -> Figure | None:
        """Variant less the other one, seed by seed: both were made of the same teacher, else the pair is left out."""
        name = metric or task.metric
        others = self.of(task, against)
        return figure_of(
            [
                record.score.metrics[name] - others[seed].score.metrics[name]
                for seed, record in self.of(task, variant).items()
                if seed in others and others[seed].teacher_sha256 == record.teacher_sha256
            ]
        )

    def mean(self, variant: str) -> float | None:
        """Of the tasks' main metrics; None unless every task has the variant."""
        return mean_of([self.figure(task, variant, task.metric) for task in self.tasks])

    def mean_difference(self, variant: str, against: str = FP32) -> float | None:
        """Mean of the tasks' differences; None unless every task has both."""
        return mean_of([self.difference(task, variant, against) for task in self.tasks])

    def size_share(self, variant: str) -> tuple[float, float] | None:
        """Smallest and largest share of the original at four bytes a parameter, over all tasks."""
        shares = [item.size_bytes / item.fp32_bytes for cell, item in self.records.items() if cell.variant == variant]
        return (min(shares), max(shares)) if shares else None

    def missing(self) -> list[Cell]:
        """Cells without a record."""
        return [cell for cell in all_cells(self.tasks) if cell not in self.records]

    def unpaired(self) -> list[Cell]:
        """Cells whose FP32 cell was made of another teacher: no difference can be given."""
        found = []
        for cell, record in self.records.items():
            base = self.records.get(Cell(task=cell.task, variant=FP32, seed=cell.seed))
            if base is not None and base.teacher_sha256 != record.teacher_sha256:
                found.append(cell)
        return found

    def spread(self, task: Task, variant: str) -> float:
        """How far a cell that is built again may lie from the committed one: two deviations, at least a point."""
        found = self.figure(task, variant, task.metric)
        deviation = found.deviation if found is not None and found.deviation is not None else 0.0
        return max(SPREAD_DEVIATIONS * deviation, SPREAD_POINTS_MIN)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a repeated cell is as good as the committed one, in words too."""

    text: str
    within: bool


def verdict(table: Table, record: Record) -> Verdict:
    """Compare with the record of the same cell in `table`, if there is one, by the spread that the table states."""
    task = find_task(record.task, table.tasks)
    value = record.score.metrics[task.metric]
    said = f"{record.cell}: {task.metric} {value:.2f}"
    before = table.records.get(record.cell)
    if before is None:
        return Verdict(text=f"{said}, no earlier record", within=True)
    old, spread = before.score.metrics[task.metric], table.spread(task, record.variant)
    within = abs(value - old) <= spread
    place = "within" if within else "OUTSIDE"
    return Verdict(text=f"{said}, earlier record {old:.2f}: {place} the spread of {spread:.2f}", within=within)


def figure_of(values: Sequence[float]) -> Figure | None:
    """Mean and standard deviation; None of nothing."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Figure(mean=statistics.fmean(values), deviation=deviation, seeds=len(values))


def mean_of(figures: Sequence[Figure | None]) -> float | None:
    """Of the means; None when one is missing."""
    means = [figure.mean for figure in figures if figure is not None]
    return statistics.fmean(means) if figures and len(means) == len(figures) else None


def elsewhere_difference(table: Table, task: Task, file: str) -> Figure | None:
    """int8 less FP32 on a set of another domain."""
    ours, theirs = table.of(task, INT8), table.of(task, FP32)
    return figure_of(
        [
            record.elsewhere[file].metrics[task.metric] - theirs[seed].elsewhere[file].metrics[task.metric]
            for seed, record in ours.items()
            if seed in theirs and file in record.elsewhere and file in theirs[seed].elsewhere
        ]
    )


def bars(table: Table) -> list[Bar]:
    """Everything that was promised."""
    listed = [
        Bar(what="int8 - FP32, mean of the tasks", wanted=-0.5, aim=">= 0", reached=table.mean_difference(INT8)),
        *(
            Bar(
                what=f"int8 - {other}, mean of the tasks",
                wanted=0.0,
                aim=f"on each task; not so: {behind(table, other)}",
                reached=table.mean_difference(INT8, other),
            )
            for other in ("dq", "ptq")
        ),
    ]
    for task in table.tasks:
        if task.name == "squad":
            found = table.difference(task, INT8, "ptq")
            listed.append(Bar(what="int8 - ptq, SQuAD F1", wanted=1.0, aim="", reached=found.mean if found else None))
    for variant, wanted, aim in (("mp-ptq", -1.5, -0.6), ("peg-ptq", -1.5, -0.6), ("q8bert", -0.5, -0.2)):
        what = f"{variant} - FP32, mean of the tasks"
        listed.append(Bar(what=what, wanted=wanted, aim=f">= {aim}", reached=table.mean_difference(variant)))
    for task in table.tasks:
        for file in task.elsewhere:
            found = elsewhere_difference(table, task, file)
            reached = found.mean if found is not None else None
            listed.append(Bar(what=f"int8 - FP32, {task.label} on `{file}`", wanted=-1.0, aim="", reached=reached))
    return listed


def behind(table: Table, other: str) -> str:
    """Tasks on which int8 is not better than `other`, or "none"; "not all measured" while that is open."""
    found = {task.label: table.difference(task, INT8, other) for task in table.tasks}
    names = [label for label, figure in found.items() if figure is not None and figure.mean <= 0]
    if None in found.values():
        names.append("not all measured")
    return ", ".join(names) or "none"
