"""bench, verify: what a model is worth on this machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import AsJson, Kernels, Model, Store, Version, open_package, split_names
from intbert.cli.output import print_json, print_table
from intbert.config import load_settings
from intbert.errors import InputError

RANDOM_SEQUENCES = 200
NOT_IDENTICAL_EXIT = 1


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(bench)
    app.command()(verify)


def bench(
    model: Model,
    shapes: Annotated[str, typer.Option(help="BATCHxTOKENS, separated by commas.")] = "1x16,1x128,8x128",
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1",
    variants: Annotated[str, typer.Option(help="Variants that take turns, separated by commas.")] = "int8,fp32",
    seconds: Annotated[float, typer.Option(min=0.01, help="Time for each shape and thread count.")] = 3.0,
    version: Version = None,
    store: Store = None,
    kernels: Kernels = None,
    json: AsJson = False,
) -> None:
    """Latency of variants side by side: token ids to logits, other random tokens in every run."""
    from intbert.runtime.bench import bench as run
    from intbert.runtime.bench import parse_shapes

    settings = load_settings(store=store, kernels=kernels)
    result = run(
        open_package(settings, model, version),
        parse_shapes(shapes),
        variants=split_names(variants),
        threads=_counts(threads),
        kernels=settings.kernels,
        seconds=seconds,
    )
    if json:
        print_json(result.as_json())
        return
    typer.echo(f"{result.cpu}, kernels {result.kernels or 'none'}")
    print_table(
        ("variant", "batch", "tokens", "threads", "median ms", "min ms"),
        [
            (row.variant, row.batch, row.tokens, row.threads, f"{row.median_ms:.3f}", f"{row.min_ms:.3f}")
            for row in result.rows
        ],
        right=(1, 2, 3, 4, 5),
    )


def verify(
    model: Model,
    texts: Annotated[
        Path | None, typer.Option(help="One text a line, or a pair with a tab between; otherwise random tokens.")
    ] = None,
    variant: Annotated[str, typer.Option(help="An integer variant.")] = "int8",
    version: Version = None,
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Compare all implementations bit for bit: reference, kernel sets, ONNX graph. Exit code 1 when they differ."""
    from intbert.runtime.examples import read_texts
    from intbert.runtime.verify import random_sequences, verify_sequences
    from intbert.runtime.verify import verify as verify_texts

    package = open_package(load_settings(store=store), model, version)
    if texts is None:
        result = verify_sequences(package, random_sequences(package, RANDOM_SEQUENCES), variant=variant, progress=_say)
    else:
        result = verify_texts(package, read_texts(texts), variant=variant, progress=_say)
    if json:
        print_json(result.as_json())
    else:
        rows = [(name, digest[:32]) for name, digest in result.implementations.items()]
        print_table(("implementation", "digest of all logits"), rows)
        typer.echo(f"{result.texts} texts: {'identical' if result.identical else 'NOT IDENTICAL'}")
    if not result.identical:
        raise typer.Exit(NOT_IDENTICAL_EXIT)


def _say(implementation: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"computing with {implementation}", err=True)


def _counts(text: str) -> list[int]:
    names = split_names(text)
    if not all(name.isdecimal() and int(name) > 0 for name in names):
        raise InputError(f"--threads is {text!r}; give whole numbers such as 1,2", code="invalid_parameter")
    return [int(name) for name in names]
