"""docs/benchmarks.md, written from a result file: nobody types a figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.models import ROOT
from benchmarks.plots import draw
from benchmarks.results import Document
from benchmarks.summary import models_in
from benchmarks.table import (
    agreement_table,
    bar_table,
    failure_table,
    memory_table,
    model_tables,
    profile_tables,
    section,
    stream_table,
)

METHOD = Path(__file__).parent / "method.md"
NOTES = Path(__file__).parent / "notes.md"


def write_page(document: Document, source: Path, page: Path) -> list[Path]:
    """Write the page and its plots beside it, in a folder of the page's name; the paths written."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in draw(document).items():
        (folder / name).write_text(content, encoding="utf-8")
        written.append(folder / name)
    page.write_text(page_text(document, source, folder.name, [path.name for path in written]), encoding="utf-8")
    return [page, *written]


def page_text(document: Document, source: Path, folder: str, plots: list[str]) -> str:
    """Conditions, targets, one section a model, the rest."""
    shown = source.resolve()
    name = shown.relative_to(ROOT) if shown.is_relative_to(ROOT) else shown.name
    parts = [
        "# Benchmarks",
        f"Generated from `{name}` by `python -m benchmarks --render {name}`; edit `benchmarks/method.md` and "
        "`benchmarks/notes.md`, not this page.",
        section("Conditions", conditions(document)),
        METHOD.read_text(encoding="utf-8").strip(),
    ]
    if document.cases:
        parts.append(section("Targets", bar_table(document)))
    for model in models_in(document):
        pictures = [plot for plot in sorted(plots) if f"-{model.name}-" in plot]
        parts += [model_tables(document, model), *(f"![{plot}]({folder}/{plot})" for plot in pictures)]
    if document.streams:
        parts.append(section("Mixed lengths", stream_table(document)))
    if document.memory:
        parts.append(section("Memory of a fresh process", memory_table(document)))
    parts.append(profile_tables(document))
    if "profile.svg" in plots:
        parts.append(f"![profile]({folder}/profile.svg)")
    if document.agreement:
        parts.append(section("Do all engines compute the same model?", agreement_table(document)))
    if document.failures:
        parts.append(section("Not measured", failure_table(document)))
    if NOTES.is_file():
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    return "\n\n".join(part for part in parts if part) + "\n"


def conditions(document: Document) -> str:
    """What is needed to judge, or repeat, the figures."""
    machine, settings = document.machine, document.settings
    lines = [
        f"- {document.measured_at}, commit `{document.commit}`, command `{document.command}`",
        f"- {machine['cpu']} (family {machine['family']}, model {machine['model']}), {machine['cores']} processors, "
        f"{machine['memory_gib']} GiB; {', '.join(machine['flags'])}; {machine['system']}",
        f"- load average at the start {machine['load_at_start']:.2f}; processor time of stopped engines while others "
        f"were measured: {100 * document.idle_cpu_share:.2f} % of theirs",
        f"- {settings['rounds']} rounds a shape, a turn {settings['turn_s']:g} s or one run; "
        f"{settings['stream_rounds']} rounds of {settings['stream_sequences']} sequences for mixed lengths",
        f"- {version_list(document.versions)}",
    ]
    return "\n".join(lines)


def version_list(versions: Mapping[str, Any]) -> str:
    """Name and version of each."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
