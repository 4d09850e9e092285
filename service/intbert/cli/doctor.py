"""doctor: would a server work here, and if not, why."""

import typer

from intbert.cli.options import AsJson, Config, Kernels, Store, service_settings
from intbert.cli.output import print_json, print_table
from intbert.config import load_settings

UNWELL_EXIT = 1


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(doctor)


def doctor(store: Store = None, kernels: Kernels = None, config: Config = None, json: AsJson = False) -> None:
    """Examine processor, kernels, threads, limits and every package of the store. Exit code 1 if anything is wrong."""
    from intbert.api.keys import load_keys
    from intbert.runtime.doctor import examine

    settings = load_settings(store=store, kernels=kernels, config=config)
    load_keys(settings)
    diagnosis = examine(service_settings(settings))
    if json:
        print_json(diagnosis.as_json())
    else:
        rows = [("ok" if check.ok else "WRONG", check.name, check.detail) for check in diagnosis.checks]
        print_table(("", "what", "found"), rows)
    if not diagnosis.ok:
        raise typer.Exit(UNWELL_EXIT)
