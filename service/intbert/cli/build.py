"""build, re-export, export-onnx: how packages come to be, and leave."""

from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import Model, Store, Version, open_package
from intbert.config import load_settings
from intbert.errors import ConfigError, InputError


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export-onnx")(export_onnx)


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
