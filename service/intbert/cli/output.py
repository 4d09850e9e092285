"""What commands print: one JSON document, or tables for people."""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from pydantic_core import to_json

from intbert.model.package import Package


def listed(package: Package) -> dict[str, Any]:
    """One entry of `intbert models --json`."""
    manifest = package.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "variants": {
            name: {
                "bytes": variant.bytes,
                "parameters": variant.parameters,
                "sha256": manifest.files[variant.file].sha256,
            }
            for name, variant in manifest.variants.items()
        },
    }


def print_json(document: Any) -> None:
    """One document on stdout."""
    typer.echo(to_json(document, indent=2).decode())


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Columns as wide as their longest cell; the columns `right` are numbers, aligned to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        parts = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(parts).rstrip())


def show_progress(done: int, total: int) -> None:
    """A line that counts up, for a person who waits; nothing in a pipe or a log."""
    if sys.stderr.isatty():
        typer.echo(f"\r{done}/{total}" + ("\n" if done == total else ""), nl=False, err=True)


def megabytes(count_bytes: int) -> str:
    """Bytes as people read them."""
    return f"{count_bytes / 1e6:.1f} MB"
