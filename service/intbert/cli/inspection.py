"""inspect: what is inside a package."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from intbert.cli.options import AsJson, Model, Store, Version, open_package
from intbert.cli.output import megabytes, print_json, print_table
from intbert.config import load_settings

SIX_DIGITS = ".6g"
TIGHTEST = 8  # bounds that people are shown; --json has them all


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(inspect)


def inspect(
    model: Model,
    version: Version = None,
    variant: Annotated[str | None, typer.Option(help="int8, fp32, ... [default: the model's].")] = None,
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Show dimensions, scales and ranges of every tensor, proved bounds, and the errors that the build measured."""
    from intbert.model.inspection import inspection

    document = inspection(open_package(load_settings(store=store), model, version), variant)
    if json:
        print_json(document)
        return
    _print_package(document)
    if document["tensors"] is not None:
        _print_tensors(document["tensors"])
    if document["bounds"] is not None:
        _print_bounds(document["bounds"])
    _print_measured(document)
    if document["missing"]:
        typer.echo("\nNot in this package:")
    for line in document["missing"]:
        typer.echo(f"  {line}")


def _print_package(document: Mapping[str, Any]) -> None:
    size = document["architecture"]
    typer.echo(f"{document['name']} version {document['version']}, {document['task']}, SHA-256 {document['sha256']}")
    typer.echo(
        f"{size['family']}: {size['layers']} layers, {size['channels']} channels, {size['heads']} heads, "
        f"{size['intermediate']} intermediate, {size['vocabulary']} words, up to {document['max_tokens']} tokens"
    )
    typer.echo("")
    rows = [
        (
            f"{name} *" if name == document["variant"] else name,
            entry["engine"],
            megabytes(entry["bytes"]),
            ", ".join(f"{metric} {value:.2f}" for metric, value in document["metrics"].get(name, {}).items()),
            entry["integer_parts"] or "not stated",
        )
        for name, entry in document["variants"].items()
    ]
    print_table(("variant", "engine", "file", "measured", "in integers"), rows, right=(2,))


def _print_tensors(tensors: Sequence[Mapping[str, Any]]) -> None:
    typer.echo("\nScales: real value of one unit; spread: coarsest over finest; outliers: above 4 times the median")
    rows = [
        (
            row["tensor"],
            row["bits"],
            *(format(row[name], SIX_DIGITS) for name in ("low", "high", "coarsest", "finest", "spread")),
            f"{row['outliers']}{' (powers of two)' if row['powers_of_two'] else ''}",
        )
        for row in tensors
    ]
    header = ("tensor", "bits", "low", "high", "coarsest", "finest", "spread", "outliers")
    print_table(header, rows, right=(1, 2, 3, 4, 5, 6))


def _print_bounds(bounds: Sequence[Mapping[str, Any]]) -> None:
    tightest = sorted(bounds, key=lambda row: row["spare_bits"])[:TIGHTEST]
    typer.echo(f"\n{len(bounds)} bounds proved (docs/arithmetic.md, section 9); the tightest:")
    header = ("tensor", "equation", "largest", "limit", "spare bits")
    rows = [(row["tensor"], row["equation"], row["largest"], row["limit"], row["spare_bits"]) for row in tightest]
    print_table(header, rows, right=(2, 3, 4))


def _print_measured(document: Mapping[str, Any]) -> None:
    layers, costs, outliers = (document[name] for name in ("layer_error", "tensor_cost", "outliers"))
    if layers:
        typer.echo(f"\nRelative error, %, after each layer, on {layers['texts']} texts, when it was built:")
        rows = zip(layers["points"], _percent(layers["own_weights"]), _percent(layers["original"]), strict=True)
        print_table(("", "against own weights", "against the original"), list(rows), right=(1, 2))
    if costs:
        typer.echo("\nRelative error, %, of the last hidden state and the logits when one tensor alone is rounded:")
        dearest = sorted(costs["costs"], key=lambda row: -row["hidden"])
        shown = [(row["tensor"], row["kind"], *_percent((row["hidden"], row["logits"]))) for row in dearest]
        print_table(("tensor", "kind", "hidden", "logits"), shown, right=(2, 3))
    if outliers:
        typer.echo("\nTools against outlier channels: relative error, %, with the best scales of each; * is used")
        for row in outliers:
            found = ", ".join(
                f"{tool}{' *' if tool == row['tool'] else ''} {100 * error:.3g}"
                for tool, error in row["errors"].items()
            )
            typer.echo(f"  {row['tensor']}: {found}")


def _percent(values: Sequence[float]) -> list[str]:
    return [f"{100 * value:.3g}" for value in values]
