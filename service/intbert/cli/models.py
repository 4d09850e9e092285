"""models: what the store holds, and how a package gets into it."""

from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import AsJson, Store
from intbert.cli.output import listed, megabytes, print_json, print_table
from intbert.config import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(invoke_without_command=True, no_args_is_help=False, pretty_exceptions_enable=False)
    models.callback()(list_models)
    models.command("add")(add)
    app.add_typer(models, name="models")


def list_models(context: typer.Context, store: Store = None, json: AsJson = False) -> None:
    """List the models of the store; every package is verified."""
    from intbert.model.store import ModelStore

    if context.invoked_subcommand is not None:
        context.obj = store
        return
    shelf = ModelStore(load_settings(store=store).store)
    packages = [shelf.open(name, version) for name in shelf.models() for version in shelf.versions(name)]
    entries = [listed(package) for package in packages]
    if json:
        print_json(entries)
        return
    if not entries:
        typer.echo(f"{shelf.root} holds no model; build one with: intbert build RECIPE.toml")
        return
    print_table(
        ("model", "version", "task", "variant", "file", "parameters"),
        [
            (entry["name"], entry["version"], entry["task"], name, megabytes(variant["bytes"]), variant["parameters"])
            for entry in entries
            for name, variant in entry["variants"].items()
        ],
        right=(4, 5),
    )


def add(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A package: a directory with a manifest.json.")],
    store: Store = None,
    json: AsJson = False,
) -> None:
    """Copy a package into the store: hashes, bounds and known answers verified, all of it or nothing."""
    from intbert.model.adding import add_package
    from intbert.runtime.engines import try_out

    package = add_package(directory, load_settings(store=store or context.obj).store, try_out=try_out)
    manifest = package.manifest
    if json:
        print_json(listed(package))
        return
    typer.echo(f"{package.directory}: {manifest.name} version {manifest.version}, SHA-256 {package.sha256}")
    typer.echo(f"A running server takes it with: POST /models/{manifest.name}/versions/{manifest.version}/activate")
