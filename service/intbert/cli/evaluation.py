"""eval: how often a variant is right, how sure that is, and how far it is from another variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from intbert.cli.options import AsJson, Kernels, Model, Store, Threads, Version, open_package
from intbert.cli.output import print_json, print_table, show_progress
from intbert.config import Settings, load_settings
from intbert.model.package import Package
from intbert.runtime.evaluate import Evaluation, joined
from intbert.runtime.examples import Columns
from intbert.runtime.figures import BOOTSTRAP, figures, signed
from intbert.runtime.labelled import Examples, evaluate_labelled, read_labelled

Column = typer.Option(help="Name, or number from 0 without a header.", metavar="COLUMN")
TOGETHER = "all together"


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("eval")(evaluate)


def evaluate(
    model: Model,
    data: Annotated[
        list[Path],
        typer.Option(
            help="Labelled texts: .tsv (nothing is quoted), .csv or .jsonl; for questions SQuAD 1.1 .json. "
            "Given several times: each file, and all as one set."
        ),
    ],
    variant: Annotated[str, typer.Option(help="int8, fp32, ...")] = "int8",
    against: Annotated[
        str | None, typer.Option(help="Another variant: the paired difference from it, and how often both agree.")
    ] = None,
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
    """Accuracy on labelled texts through the engine and batches that the service uses: percent, with 95 % intervals."""
    settings = load_settings(store=store, kernels=kernels, threads=threads)
    package = open_package(settings, model, version)
    columns = Columns(text=text_column, text_pair=pair_column, label=label_column, header=not no_header)
    sets = {str(path): read_labelled(path, package.manifest, columns) for path in data}
    found = _evaluate(package, variant, sets, settings)
    baseline = None if against is None else _evaluate(package, against, sets, settings)
    document = _document(found, baseline)
    if json:
        print_json(document)
    else:
        _print_document(document)


def _evaluate(
    package: Package, variant: str, sets: Mapping[str, Examples], settings: Settings
) -> dict[str, Evaluation]:
    """One variant on every file, each by itself: what is computed doesn't depend on the other files."""
    return {
        name: evaluate_labelled(
            package,
            variant,
            examples,
            kernels=settings.kernels,
            threads=settings.threads or 1,
            progress=show_progress,
        )
        for name, examples in sets.items()
    }


def _document(found: Mapping[str, Evaluation], baseline: Mapping[str, Evaluation] | None) -> dict[str, Any]:
    """All files as one set at the top, each file in `files` when there are several, the baseline in `baseline`."""
    whole = joined(list(found.values()))
    reference = None if baseline is None else joined(list(baseline.values()))
    document = {**whole.as_json(), **figures(whole, reference), "bootstrap": BOOTSTRAP}
    if len(found) > 1:
        document["files"] = {
            name: figures(part, None if baseline is None else baseline[name]) for name, part in found.items()
        }
    if baseline is not None:
        document["baseline"] = _document(baseline, None)
    return document


def _print_document(document: Mapping[str, Any]) -> None:
    """Every set's figures, then what computed them."""
    sides = [document, *([document["baseline"]] if "baseline" in document else [])]
    typer.echo(f"{document['model']}: {document['examples']} examples, percent with {_level(document)} intervals")
    for name in [*document.get("files", {}), None]:
        if "files" in document:
            typer.echo(f"\n{name or TOGETHER}")
        _print_set([side if name is None else side["files"][name] for side in sides], [s["variant"] for s in sides])
    typer.echo("")
    for side in sides:
        typer.echo(f"{side['variant']} on {side['engine']}: {side['tokens_per_s']:.0f} tokens/s")


def _print_set(sides: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> None:
    """One set: a row a metric, a column a variant, and their difference when there are two."""
    against = sides[0].get("against")
    rows = [
        [name, *(_value(side, name) for side in sides), *([_difference(against, name)] if against else [])]
        for name in sides[0]["metrics"]
    ]
    if "calibration_error" in sides[0]:
        errors = [f"{side['calibration_error']:.2f}" for side in sides]
        rows.append(["calibration error", *errors, *([""] if against else [])])
    print_table(("metric", *variants, *(["difference"] if against else [])), rows)
    if against and against["agreement"] is not None:
        typer.echo(f"{' and '.join(variants)} agree on {against['agreement']:.2f} % of {sides[0]['examples']} examples")


def _value(side: Mapping[str, Any], metric: str) -> str:
    low, high = side["intervals"][metric]
    return f"{side['metrics'][metric]:.2f} ({low:.2f} to {high:.2f})"


def _difference(against: Mapping[str, Any], metric: str) -> str:
    difference = against["differences"][metric]
    low, high = difference["interval"]
    return f"{signed(difference['value'])} ({signed(low)} to {signed(high)})"


def _level(document: Mapping[str, Any]) -> str:
    return f"{document['bootstrap']['level_percent']} %"
