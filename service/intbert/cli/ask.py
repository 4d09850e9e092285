"""qa."""

from pathlib import Path
from typing import Annotated

import typer

from intbert.cli.options import AsJson, Kernels, Store, Version, running_service
from intbert.cli.output import print_json, print_table
from intbert.config import load_settings
from intbert.errors import InputError


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(qa)


def qa(
    question: Annotated[str, typer.Option(help="The question.", show_default=False)],
    context: Annotated[str | None, typer.Option(help="The text that may hold the answer.")] = None,
    context_file: Annotated[Path | None, typer.Option(help="A file with that text, UTF-8, of any length.")] = None,
    model: Annotated[str | None, typer.Option(help="Model [default: the one for questions].")] = None,
    version: Version = None,
    variant: Annotated[str | None, typer.Option(help="int8, fp32, ... [default: the model's].")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Number of answers at most.")] = 1,
    max_answer_len: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 30,
    digest: Annotated[bool, typer.Option("--digest", help="Add the SHA-256 of the int32 logits.")] = False,
    store: Store = None,
    kernels: Kernels = None,
    json: AsJson = False,
) -> None:
    """Answer a question with a span of a text, without a server."""
    from intbert.runtime.answers import document
    from intbert.runtime.qa import QaParameters, Question
    from intbert.runtime.qa_job import QaJob

    asked = Question(question=question, context=_context(context, context_file))
    parameters = QaParameters(
        model=model,
        version=version,
        variant=variant,
        top_k=top_k,
        max_answer_len=max_answer_len,
        return_digest=digest,
    )
    with running_service(load_settings(store=store, kernels=kernels, qa_model=model)) as service:
        result = service.answer_now(QaJob(questions=[asked], selection=parameters))
    if json:
        print_json(document(result))
        return
    print_table(
        ("score", "start", "end", "answer"),
        [(f"{item.score:.4f}", item.start, item.end, item.answer) for item in result.results[0]],
        right=(1, 2),
    )
    if result.digests:
        typer.echo(f"digest {result.digests[0]}")


def _context(text: str | None, file: Path | None) -> str:
    """Exactly one of the two."""
    if (text is None) == (file is None):
        raise InputError("give --context TEXT or --context-file FILE, one of them", code="invalid_parameter")
    if text is not None or file is None:
        return text or ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} can't be read as UTF-8 text: {error}", code="unreadable_file") from error
