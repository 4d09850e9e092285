"""`python -m loadtest`: measure the variants of a server, beside each other, under the same load."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import typer

from loadtest.arrivals import Pattern
from loadtest.generator import Call
from loadtest.plan import EndpointResult, Plan, measure_endpoint
from loadtest.report import run_document, write_report
from loadtest.server import ServerError, describe, endpoints_of, running_server
from loadtest.texts import TextError, classify_calls, qa_calls

ROOT = Path(__file__).resolve().parents[1]


def main(
    url: Annotated[str | None, typer.Option(help="A running server; by default one is started.")] = None,
    store: Annotated[Path, typer.Option(help="Model store of the server to start.")] = ROOT / "model_store",
    variants: Annotated[str, typer.Option(help="Comma-separated.")] = "int8,fp32",
    pattern: Annotated[Pattern, typer.Option(help="How requests arrive.")] = "poisson",
    rates: Annotated[
        str, typer.Option(help="Requests per second, comma-separated; default: 0.5 and 0.8 of saturation.")
    ] = "",
    duration_s: Annotated[float, typer.Option(min=0.5, max=3600)] = 8.0,
    saturation_s: Annotated[float, typer.Option(min=0.5, max=3600)] = 5.0,
    classify_slo_ms: Annotated[float, typer.Option(min=0.1)] = 100.0,
    qa_slo_ms: Annotated[float, typer.Option(min=0.1)] = 500.0,
    classify_texts: Annotated[
        Path | None, typer.Option(help="TSV with a column sentence or text, or plain lines.")
    ] = None,
    qa_texts: Annotated[Path | None, typer.Option(help="Questions and contexts in SQuAD's JSON format.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for loadtest.json and loadtest.html.")] = ROOT
    / "loadtest"
    / "results",
    seed: int = 1,
) -> None:
    """Open loop: latency counts from the moment a request was due, so a stall of the server is never hidden."""
    plan = Plan(
        variants=variants.split(","),
        pattern=pattern,
        rates=[float(rate) for rate in rates.split(",") if rate],
        duration_s=duration_s,
        saturation_s=saturation_s,
        slo_ms={"/classify": classify_slo_ms, "/qa": qa_slo_ms},
        seed=seed,
    )
    try:
        with contextlib.nullcontext(url) if url else running_server(store=store) as address:
            server = describe(address)
            results = asyncio.run(
                _measure(address, endpoints_of(server, plan.variants), plan, classify_texts, qa_texts)
            )
    except (ServerError, TextError, ValueError) as error:
        typer.echo(f"loadtest: {error}", err=True)
        raise typer.Exit(1) from error
    for path in write_report(output, run_document(results, plan, server=server), results):
        typer.echo(f"wrote {path}")


async def _measure(
    url: str, endpoints: list[str], plan: Plan, classify_texts: Path | None, qa_texts: Path | None
) -> list[EndpointResult]:
    def calls(endpoint: str, variant: str) -> list[Call]:
        if endpoint == "/classify":
            return classify_calls(classify_texts, variant=variant, root=ROOT, seed=plan.seed)
        return qa_calls(qa_texts, variant=variant, root=ROOT, seed=plan.seed)

    return [
        await measure_endpoint(
            url, endpoint, {variant: calls(endpoint, variant) for variant in plan.variants}, plan, progress=typer.echo
        )
        for endpoint in endpoints
    ]


if __name__ == "__main__":
    typer.run(main)
