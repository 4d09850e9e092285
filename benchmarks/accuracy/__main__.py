"""`python -m benchmarks.accuracy`: cells of the table, and the page made of them. `make results` calls this."""

import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy.cells import TASKS, VARIANTS, Cell, Task, all_cells, find_task
from benchmarks.accuracy.measure import Place, Workshop
from benchmarks.accuracy.page import page_text
from benchmarks.accuracy.records import FOLDER, load_records
from benchmarks.accuracy.schedule import Group, groups_of, run_groups
from benchmarks.accuracy.summary import Table, verdict
from benchmarks.models import ROOT, STORE
from intbert.errors import IntbertError
from intbert.model.package import Package

PAGE = ROOT / "docs" / "results.md"
WORK = ROOT / "runs" / "results"


def main(
    cells: Annotated[list[str] | None, typer.Argument(help="TASK/VARIANT/SEED. None: write the page.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All cells that have no record yet.")] = False,
    tasks: Annotated[str, typer.Option(help="With --all: only these, comma-separated.")] = "",
    variants: Annotated[str, typer.Option(help="With --all: only these, comma-separated.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Make the variant anew, and with --all every cell.")] = False,
    trained_only: Annotated[
        bool, typer.Option("--trained-only", help="With --all: leave out what has no FP32 teacher and int8 model yet.")
    ] = False,
    bundled: Annotated[
        bool, typer.Option("--bundled", help="Take FP32 teacher and int8 model from model_store instead of training.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Of each process.")] = 1,
    work: Annotated[Path, typer.Option(help="Folder of the work directories, TASK-SEED each.")] = WORK,
    data: Annotated[Path, typer.Option(help="Where the recipes' data paths start.")] = Path("../data"),
    out: Annotated[Path, typer.Option(help="Folder of the records.")] = FOLDER,
    smoke: Annotated[bool, typer.Option("--smoke", help="Tiny training; needs --out.")] = False,
) -> None:
    """Build or resume cells, evaluate them and write their records; without cells, write docs/results.md."""
    if smoke and out.resolve() == FOLDER.resolve():
        raise typer.BadParameter("--smoke makes no figure for the table; name another folder with --out")
    place = Place(work=work, data=data, store=STORE if bundled else None)
    try:
        chosen = [Cell.parse(text) for text in cells or ()]
        wanted = selection(tasks, variants) if everything else []
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if everything:
        options = ["--work", str(work), "--data", str(data), "--out", str(out), "--threads", str(threads)]
        options += [f"--{name}" for name, given in (("again", again), ("smoke", smoke), ("bundled", bundled)) if given]
        run_missing(wanted, place, out, options, again=again, trained_only=trained_only, jobs=jobs)
    elif chosen:
        codes = [run_group(group, place, out, again=again, small=smoke, threads=threads) for group in groups_of(chosen)]
        raise typer.Exit(max(codes))
    else:
        PAGE.write_text(page_text(Table(records=load_records(out))), encoding="utf-8")
        typer.echo(f"wrote {PAGE}")


def selection(tasks: str, variants: str) -> list[Cell]:
    """All cells of the named tasks and variants. ValueError names what there is not."""
    names = {find_task(name.strip()).name for name in tasks.split(",") if name.strip()}
    kinds = {name.strip() for name in variants.split(",") if name.strip()}
    if unknown := sorted(kinds - set(VARIANTS)):
        raise ValueError(f"unknown variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    return [c for c in all_cells() if (not names or c.task in names) and (not kinds or c.variant in kinds)]


def run_missing(
    cells: Sequence[Cell],
    place: Place,
    out: Path,
    options: Sequence[str],
    *,
    again: bool,
    trained_only: bool,
    jobs: int,
) -> None:
    """Those without a record (all with `again`), several processes at a time."""
    there = set() if again else set(load_records(out))
    todo = [cell for cell in cells if cell not in there and (place.is_trained(cell) or not trained_only)]
    typer.echo(f"{len(todo)} cells to make, {len(cells) - len(todo)} left out")
    failed = run_groups(groups_of(todo), options, jobs=jobs, say=typer.echo)
    if failed:
        typer.echo(f"not complete: {'; '.join(group.name for group in failed)}", err=True)
        raise typer.Exit(1)


def run_group(
    group: Group,
    place: Place,
    out: Path,
    *,
    again: bool,
    small: bool,
    threads: int,
    tasks: Sequence[Task] = TASKS,
) -> int:
    """All cells of one teacher; a cell that fails does not stop the next one. 1 when one failed or is off."""
    first = group.cells[0]
    task = find_task(first.task, tasks)
    workshop = Workshop.open(task, first.seed, place, small=small, threads=threads, say=say)
    good = True
    for cells in (group.untrained, group.trained):
        if again:
            for cell in cells:
                shutil.rmtree(workshop.folder / f"variant-{cell.variant}", ignore_errors=True)
        ready = [cell for cell in cells if attempt(cell, partial(workshop.make, cell.variant))]
        good = good and len(ready) == len(cells)
        if ready:
            with workshop.package([cell.variant for cell in ready]) as package:
                for cell in ready:
                    good &= attempt(cell, partial(keep_record, workshop, package, cell.variant, out, tasks))
    return 0 if good else 1


def keep_record(workshop: Workshop, package: Package, variant: str, out: Path, tasks: Sequence[Task]) -> None:
    """Evaluate and write the record. ValueError when it is off the earlier one by more than the stated spread."""
    record = workshop.record(package, variant)
    found = verdict(Table(records=load_records(out), tasks=tasks), record)
    record.save(out)
    typer.echo(found.text)
    if not found.within:
        raise ValueError(f"{record.cell} was not reproduced; compare data, versions and device of both records")


def attempt(cell: Cell, work: Callable[[], None]) -> bool:
    """Whether it went well; what went wrong is said, so that the next cell can be tried."""
    try:
        work()
    except (IntbertError, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        traceback.print_exc()
        typer.echo(f"{cell}: failed: {error}", err=True)
        return False
    return True


def say(message: str) -> None:
    """Progress goes to stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
