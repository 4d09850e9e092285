"""`python -m benchmarks`: ours against the peers, interleaved. `make bench` sets everything up and calls this."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.models import ROOT
from benchmarks.page import write_page
from benchmarks.plan import make_plan
from benchmarks.results import Document
from benchmarks.run import available_avx2, run
from benchmarks.table import profile_tables, tables

RESULTS = ROOT / "benchmarks" / "results"
CACHE = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
ALL_PARTS = frozenset({"cases", "memory", "profile"})


def main(
    models: Annotated[str, typer.Option(help="minilm, base, large; comma-separated. Default: all.")] = "",
    shapes: Annotated[str, typer.Option(help="BATCHxTOKENS, comma-separated. Default: each model's own.")] = "",
    threads: Annotated[str, typer.Option(help="Comma-separated. Default: 1,2.")] = "",
    engines: Annotated[str, typer.Option(help="Names of engines/catalog.py, intbert among them.")] = "",
    rounds: Annotated[int | None, typer.Option(min=1, max=1000, help="Default: 15, with --quick 5.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One model, two shapes, few rounds.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Only where our time goes, per operation.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="Only the resident memory of fresh processes.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result file. Default: today's in benchmarks/results.")] = None,
    render: Annotated[
        Path | None, typer.Option(help="Measure nothing: write docs/benchmarks.md and its plots from this result.")
    ] = None,
) -> None:
    """Every engine in its own process on the same processors, asked in turn; ratios are taken within rounds."""
    if render is not None:
        for path in write_page(Document.load(render), render, PAGE):
            typer.echo(f"wrote {path}")
        return
    parts = frozenset(name for name, only in (("profile", profile), ("memory", memory)) if only)
    try:
        plan = make_plan(
            models=models,
            shapes=shapes,
            threads=threads,
            engines=engines,
            rounds=rounds,
            quick=quick,
            available_avx2=available_avx2(),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    place = out or RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    document = run(plan, parts=parts or ALL_PARTS, cache=CACHE, out=place, say=typer.echo)
    typer.echo("\n" + (profile_tables(document) if parts == {"profile"} else tables(document)))
    typer.echo(f"wrote {place}")


if __name__ == "__main__":
    typer.run(main)
