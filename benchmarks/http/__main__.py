"""`python -m benchmarks.http`: measure, write the result, and the page of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.http.overload import measure_overload
from benchmarks.http.page import write_page
from benchmarks.http.shadow import Pairs, measure_shadow
from benchmarks.http.speed import Load, measure_speed
from benchmarks.models import ROOT
from loadtest.report import cpu_cores, cpu_name

RESULTS = ROOT / "benchmarks" / "results" / "http"
PARTS = ("speed", "shadow", "overload")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Of turns, and pairs of shadow phases.")] = 5,
    turn_s: Annotated[float, typer.Option(min=0.5)] = 4.0,
    tuning_s: Annotated[float, typer.Option(min=0.5, help="For each of the peers' settings that are tried.")] = 3.0,
    phase_s: Annotated[float, typer.Option(min=0.5, help="Open-loop phases: shadow and overload.")] = 8.0,
    users: Annotated[int, typer.Option(min=1, help="Of the closed loop.")] = 64,
    only: Annotated[str, typer.Option(help=f"Some of {', '.join(PARTS)}, with commas.")] = ",".join(PARTS),
    peers: Annotated[Path, typer.Option(help="Python of the peers' environment.")] = ROOT
    / ".venv-bench-http/bin/python",
    result: Annotated[Path | None, typer.Option(help="File to write, or to add to.")] = None,
    page: Annotated[Path, typer.Option(help="Page to write.")] = ROOT / "docs" / "benchmarks-http.md",
) -> None:
    """Wants quiet processors: about eight minutes."""
    RESULTS.mkdir(exist_ok=True)
    path = result or RESULTS / f"{datetime.now(UTC).date().isoformat()}.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    document |= {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_name(), "cores": cpu_cores()},
    }
    wanted = only.split(",")
    if "speed" in wanted:
        load = Load(rounds=rounds, turn_s=turn_s, tuning_s=tuning_s, users=users)
        work = ROOT / "build" / "bench-http"
        document["speed"] = measure_speed(load, python=peers, work=work, progress=typer.echo)
        _save(path, document)
    if "shadow" in wanted:
        pairs = Pairs(count=rounds, phase_s=phase_s, capacity_s=turn_s)
        document["shadow"] = measure_shadow(pairs, progress=typer.echo)
        _save(path, document)
    if "overload" in wanted:
        document["overload"] = measure_overload(phase_s=phase_s, capacity_s=turn_s, progress=typer.echo)
        _save(path, document)
    typer.echo(f"wrote {write_page(document, page)}")


def _save(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")
    typer.echo(f"wrote {path}")


if __name__ == "__main__":
    typer.run(main)
