"""The program `intbert`: its commands, and what becomes of their errors."""

import os
import sys
from typing import Annotated

import typer

from intbert.cli import ask, build, doctor, evaluation, inference, inspection, measure, models
from intbert.errors import ConfigError, InputError, IntbertError, KernelError, NotFoundError
from intbert.version import package_version

USAGE_EXIT = 2
FAILURE_EXIT = 1
INTERRUPTED_EXIT = 130

# What the person at the keyboard can set right by typing something else.
_USAGE_ERRORS = (InputError, NotFoundError, ConfigError, KernelError)
# The same by code: of the build stage, whose classes are not imported without need, and of a service's status.
_USAGE_CODES = frozenset(
    {
        "data_invalid",
        "backbone_unsupported",
        "store_not_found",
        "config_invalid",
        "kernel_unknown",
        "kernel_unsupported",
    }
)


def make_app() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="intbert",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_program)
    inference.add_commands(app)
    models.add_commands(app)
    inspection.add_commands(app)
    doctor.add_commands(app)
    ask.add_commands(app)
    evaluation.add_commands(app)
    measure.add_commands(app)
    build.add_commands(app)
    return app


def _print_version(asked: bool) -> None:
    """Before any command is looked for."""
    if asked:
        typer.echo(f"intbert {package_version()}")
        raise typer.Exit


def _program(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Integer-only int8 inference for BERT-family models on CPUs, beside the FP32 original."""


def main() -> None:
    """Run. Errors of the domain become one line on stderr: exit 2 for usage and input, 1 for failures."""
    try:
        make_app()()
    except IntbertError as error:
        sys.stderr.write(f"intbert: {error.message}\n")
        sys.exit(_exit_code(error))
    except BrokenPipeError:
        # The reader of our output is gone (`intbert models | head -1`): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILURE_EXIT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT)


def _exit_code(error: IntbertError) -> int:
    usage = isinstance(error, _USAGE_ERRORS) or error.code in _USAGE_CODES
    return USAGE_EXIT if usage else FAILURE_EXIT
