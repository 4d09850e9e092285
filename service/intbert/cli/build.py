"""build, re-export, export-onnx, export-checkpoint: how packages come to be, and leave."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import AsJson, Model, Store, Version, open_package
from intbert.cli.output import listed, print_json
from intbert.config import load_settings
from intbert.errors import ConfigError, InputError


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(build)
    app.command("re-export")(re_export)
    app.command("export-onnx")(export_onnx)
    app.command("export-checkpoint")(export_checkpoint)


def build(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to build.", show_default=False)],
    data: Annotated[
        Path | None, typer.Option(help="Where relative data paths start [default: the recipe's data.data_root].")
    ] = None,
    work_dir: Annotated[
        Path | None, typer.Option(help="Checkpoints and finished stages [default: runs/RECIPE].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier build stopped.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite this version in the store.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps only, to see that everything works.")] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's seed.", show_default=False)] = None,
    variants: Annotated[
        str | None,
        typer.Option(help="Further variants instead of the recipe's, separated by commas.", show_default=False),
    ] = None,
    trained: Annotated[
        str | None,
        typer.Option(
            metavar="<version>",
            help="Train nothing, take the weights of this version in the store: scores and card are made anew.",
            show_default=False,
        ),
    ] = None,
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Fine-tune, train for integers, export, verify, evaluate, and write the package with its report."""
    with build_libraries():
        from intbert.builder.pipeline import build as run

    settings = load_settings(store=store)
    package = run(
        recipe_path=recipe,
        store=settings.store,
        work_dir=work_dir or Path("runs") / recipe.stem,
        data_root=data,
        resume=resume,
        replace=replace,
        small=smoke,
        seed=seed,
        variants=None if variants is None else [name for name in variants.split(",") if name],
        trained=trained,
        progress=sys.stderr.isatty(),
        say=_say,
    )
    if json:
        print_json(listed(package))


def re_export(
    model: Model,
    version: Version = None,
    new_version: Annotated[
        str | None, typer.Option(help="Write as this version [default: in its own place].", show_default=False)
    ] = None,
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Export a package again from its kept real scales, without data or training: after a change of the arithmetic."""
    with build_libraries():
        from intbert.builder.reexport import reexport_package

    settings = load_settings(store=store)
    package = reexport_package(store=settings.store, model=model, version=version, new_version=new_version, say=_say)
    if json:
        print_json(listed(package))


@contextmanager
def build_libraries() -> Iterator[None]:
    """The service runs without torch; only these commands need it, and say so."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("intbert"):
            raise
        raise ConfigError(f"the build stage needs the package {error.name}; install intbert[build]") from None


def _say(message: str) -> None:
    """Progress goes to stderr: stdout is for results."""
    typer.echo(message, err=True)


def export_onnx(
    model: Model,
    file: Annotated[Path, typer.Argument(help="Where to write the graph.", show_default=False)],
    variant: Annotated[str, typer.Option(help="An integer variant.")] = "int8",
    version: Version = None,
    store: Store = None,
) -> None:
    """Write the integer program as an ONNX graph of standard operators; stock ONNX Runtime runs it to the same bits."""
    package = open_package(load_settings(store=store), model, version)
    program = package.program(variant)
    try:
        from intbert.runtime.onnx_graph import build_integer_graph

        content = build_integer_graph(program).SerializeToString()
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ConfigError("writing ONNX needs the package onnx; install intbert[onnx]") from None
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"can't write {file}: {error.strerror}", code="unwritable_file") from None
    typer.echo(f"wrote {file}, {len(content)} bytes")


def export_checkpoint(
    model: Model,
    folder: Annotated[Path, typer.Argument(help="Where to write the checkpoint; must not exist.", show_default=False)],
    version: Version = None,
    store: Store = None,
) -> None:
    """Write the FP32 variant as a checkpoint of transformers: to train it further, or as the backbone of a recipe."""
    with build_libraries():
        from intbert.builder.checkpoint import save_checkpoint

    package = open_package(load_settings(store=store), model, version)
    if folder.exists():
        raise InputError(f"{folder} exists; name a new folder", code="unwritable_file")
    save_checkpoint(package, folder)
    typer.echo(f"wrote {folder}")
