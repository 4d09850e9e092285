"""eval, bench, verify: what a model is worth on this machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import AsJson, Kernels, Model, Store, Threads, Version, open_package, split_names
from intbert.cli.output import print_json, print_table, show_progress
from intbert.config import Settings, load_settings
from intbert.errors import InputError
from intbert.model.package import Package
from intbert.runtime.evaluate import Evaluation
from intbert.runtime.examples import Columns, read_examples

RANDOM_SEQUENCES = 200
NOT_IDENTICAL_EXIT = 1

Column = typer.Option(help="Name, or number from 0 without a header.", metavar="COLUMN")


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("eval")(evaluate)
    app.command()(bench)
    app.command()(verify)


def evaluate(
    model: Model,
    data: Annotated[
        Path,
        typer.Option(help="Labelled texts: .tsv (nothing is quoted), .csv or .jsonl; for questions SQuAD 1.1 .json."),
    ],
    variant: Annotated[str, typer.Option(help="int8, fp32, ...")] = "int8",
    text_column: Annotated[str | None, Column] = None,
    pair_column: Annotated[str | None, Column] = None,
    label_column: Annotated[str | None, Column] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="The first line is data already.")] = False,
    version: Version = None,
    threads: Threads = None,
    store: Store = None,
    kernels: Kernels = None,
    json: AsJson = False,
) -> None:
    """Accuracy on labelled texts, through the engine and batches that the service uses. Metrics in percent."""
    settings = load_settings(store=store, kernels=kernels, threads=threads)
    package = open_package(settings, model, version)
    columns = Columns(text=text_column, text_pair=pair_column, label=label_column, header=not no_header)
    result = _evaluate(package, variant, data, columns, settings)
    if json:
        print_json(result.as_json())
        return
    rows = [(name, f"{value:.2f}") for name, value in result.metrics.items()]
    typer.echo(f"{result.model} {result.variant} on {result.engine}: {result.examples} examples")
    print_table(("metric", "percent"), rows, right=(1,))
    typer.echo(f"{result.tokens_per_s:.0f} tokens/s")


def _evaluate(package: Package, variant: str, data: Path, columns: Columns, settings: Settings) -> Evaluation:
    """What the task's data and metrics are."""
    threads = settings.threads or 1
    if package.manifest.task == "question-answering":
        from intbert.runtime.evaluate_spans import evaluate_spans
        from intbert.runtime.squad import read_squad

        return evaluate_spans(
            package, variant, read_squad(data), kernels=settings.kernels, threads=threads, progress=show_progress
        )
    from intbert.runtime.evaluate import evaluate as evaluate_labels

    examples = read_examples(data, package.manifest, columns)
    return evaluate_labels(
        package, variant, examples, kernels=settings.kernels, threads=threads, progress=show_progress
    )


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
