"""What every inference route does once it knows its job: ask the service, count, write the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from intbert.api.exchange import Exchange
from intbert.errors import CancelledError, IntbertError
from intbert.runtime.answers import Result, Timings, document
from intbert.runtime.jobs import Job
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Durations, Metrics, Target

Prepared = TypeVar("Prepared")
Answer = TypeVar("Answer")
AnyResult = TypeVar("AnyResult", bound=Result)


async def respond(
    request: Request,
    service: InferenceService,
    metrics: Metrics,
    job: Job[Prepared, AnyResult],
    write: Callable[[AnyResult], Any] = document,
) -> Response:
    """The answer to `job`, as `write` puts it. Errors are raised: the application's handlers know the table."""
    exchange: Exchange = request.scope["state"]["exchange"]  # `request.state` would copy it
    try:
        result = await unless_disconnected(request, service.answer(job))
    except Exception:
        exchange.target = target_of(service, job)
        raise
    _record(exchange, metrics, result)
    if job.task == "question-answering":
        for usage in result.usage:
            metrics.question_answered(target=exchange.target, windows=usage.windows)
    headers = {"server-timing": server_timing(result.timings)}
    return Response(to_json(write(result)), media_type="application/json", headers=headers)


async def unless_disconnected(request: Request, answer: Awaitable[Answer]) -> Answer:
    """Await `answer`; cancel it and raise CancelledError as soon as the client is gone.

    The body must have been read: the next message of the connection is then its end.
    """
    answering = asyncio.current_task()
    left = False

    def leave(gone: "asyncio.Task[Message]") -> None:
        nonlocal left
        if answering is not None and not gone.cancelled():
            left = True
            answering.cancel()

    gone = asyncio.ensure_future(request.receive())
    gone.add_done_callback(leave)
    try:
        return await answer
    except asyncio.CancelledError:
        if not left or answering is None or answering.uncancel():
            raise
        raise CancelledError("the client closed the connection before the answer") from None
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()


def limit_timeout_s(timeout_ms: int | None, limit_s: float) -> float:
    """A client may be less patient than the server, not more."""
    return limit_s if timeout_ms is None else min(limit_s, timeout_ms / 1000)


def server_timing(timings: Timings) -> str:
    """The header's value, in fractional milliseconds."""
    stages = {
        "tokenize": timings.tokenize_s,
        "queue": timings.queue_s,
        "compute": timings.compute_s,
        "post": timings.postprocess_s,
    }
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in stages.items())


def durations_of(timings: Timings) -> Durations:
    """For the metrics."""
    return Durations(
        tokenize_s=timings.tokenize_s,
        queue_s=timings.queue_s,
        compute_s=timings.compute_s,
        postprocess_s=timings.postprocess_s,
    )


def target_of(service: InferenceService, job: Job[Prepared, AnyResult]) -> Target:
    """What a failed request was for, so that errors and their durations show at their variant; empty if unknown."""
    try:
        key = service.find_variant(job)
    except IntbertError:
        return Target()
    return Target(model=key.model, version=key.version, variant=key.variant)


def _record(exchange: Exchange, metrics: Metrics, result: Result) -> None:
    model = result.model
    exchange.target = Target(model=model.name, version=model.version, variant=model.variant)
    exchange.tokens = sum(usage.tokens for usage in result.usage)
    exchange.timings.append((model.variant, result.timings))
    metrics.request_answered(
        target=exchange.target,
        durations=durations_of(result.timings),
        tokens=exchange.tokens,
        truncated=sum(usage.truncated for usage in result.usage),
    )
