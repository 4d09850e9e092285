"""What the table has: tasks, variants, seeds, and the other-domain sets."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import ROOT

FP32, INT8 = "fp32", "int8"
# In the order of the table; what trains comes last where cells are built in a row.
VARIANTS = (FP32, "dq", "ptq", "mp-ptq", "peg-ptq", "peg-ptq-float", "q8bert", INT8)
TRAINED = ("q8bert",)  # beside the FP32 teacher and int8, which every package has
RECIPES = ROOT / "recipes"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set. `metrics`: as in the papers, the first one enters the mean of the tasks."""

    name: str
    label: str
    metrics: tuple[str, ...]
    recipes: Path = RECIPES
    own_seeds: tuple[int, ...] = ()  # empty: the recipe's

    @property
    def recipe(self) -> Path:
        """Its recipe's file."""
        return self.recipes / f"{self.name}-minilm-l6.toml"

    @property
    def metric(self) -> str:
        """The one that counts."""
        return self.metrics[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its cells."""
        if self.own_seeds:
            return self.own_seeds
        return (int(self._recipe["seed"]),)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Files of other domains, below the data root; report only."""
        return tuple(self._recipe.get("report", {}).get("elsewhere", ()))

    @property
    def _recipe(self) -> dict[str, Any]:
        return tomllib.loads(self.recipe.read_text(encoding="utf-8"))


SMALL_SEEDS = (0, 1, 2)
TASKS = (
    Task(name="sst2", label="SST-2", metrics=("accuracy",)),
    Task(name="mrpc", label="MRPC", metrics=("f1", "accuracy"), own_seeds=SMALL_SEEDS),
    Task(name="rte", label="RTE", metrics=("accuracy",), own_seeds=SMALL_SEEDS),
    Task(name="cola", label="CoLA", metrics=("matthews",), own_seeds=SMALL_SEEDS),
    Task(name="stsb", label="STS-B", metrics=("pearson", "spearman"), own_seeds=SMALL_SEEDS),
    Task(name="squad", label="SQuAD 1.1", metrics=("f1", "exact_match")),
)


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """One figure of the table and one seed of it."""

    task: str
    variant: str
    seed: int

    def __str__(self) -> str:
        """As the command line takes it."""
        return f"{self.task}/{self.variant}/{self.seed}"

    @classmethod
    def parse(cls, text: str, tasks: Sequence[Task] = TASKS) -> "Cell":
        """ "mrpc/q8bert/1" to a cell. ValueError names what is wrong and what there is."""
        parts = text.strip().split("/")
        if len(parts) != 3 or not parts[2].isdecimal():
            raise ValueError(f"the cell {text!r} is not TASK/VARIANT/SEED, for example mrpc/q8bert/1")
        find_task(parts[0], tasks)
        if parts[1] not in VARIANTS:
            raise ValueError(f"unknown variant {parts[1]!r} in {text!r}; there are {', '.join(VARIANTS)}")
        return cls(task=parts[0], variant=parts[1], seed=int(parts[2]))


def find_task(name: str, tasks: Sequence[Task] = TASKS) -> Task:
    """By name. ValueError lists those there are."""
    for task in tasks:
        if task.name == name:
            return task
    raise ValueError(f"unknown task {name!r}; there are {', '.join(task.name for task in tasks)}")


def all_cells(tasks: Sequence[Task] = TASKS) -> list[Cell]:
    """Every cell of the table, task by task."""
    return [
        Cell(task=task.name, variant=variant, seed=seed)
        for task in tasks
        for seed in task.seeds
        for variant in VARIANTS
    ]
