"""POST /classify."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.body import read_json
from intbert.api.exchange import Exchange
from intbert.api.wire import ClassifyRequest
from intbert.config import Settings
from intbert.errors import CancelledError, InputError
from intbert.runtime.answers import Timings
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Durations, Metrics, Target

Answer = TypeVar("Answer")


async def classify(request: Request, service: InferenceService, settings: Settings, metrics: Metrics) -> Response:
    """Read, ask the service, count, write. Errors are raised: the application's handlers know the table."""
    exchange: Exchange = request.state.exchange
    asked = await read_json(request, ClassifyRequest, limit_bytes=settings.max_body_bytes)
    inputs = [TextInput(text=text, text_pair=pair) for text, pair in asked.texts()]
    if len(inputs) > settings.max_inputs:
        raise InputError.too_many(what="inputs", count=len(inputs), limit=settings.max_inputs)
    parameters = _parameters(asked, limit_s=settings.request_timeout_s)
    result = await unless_disconnected(request, service.classify(inputs, parameters))
    _record(exchange, metrics, result)
    return Response(
        to_json(_body(result)), media_type="application/json", headers={"server-timing": server_timing(result.timings)}
    )


async def unless_disconnected(request: Request, answer: Awaitable[Answer]) -> Answer:
    """Await `answer`; cancel it and raise CancelledError as soon as the client is gone.

    The body must have been read: the next message of the connection is then its end.
    """
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise CancelledError("the client closed the connection before the answer")
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


def server_timing(timings: Timings) -> str:
    """The header's value, in fractional milliseconds."""
    stages = {
        "tokenize": timings.tokenize_s,
        "queue": timings.queue_s,
        "compute": timings.compute_s,
        "post": timings.postprocess_s,
    }
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in stages.items())


def _parameters(asked: ClassifyRequest, *, limit_s: float) -> ClassifyParameters:
    given = asked.parameters
    return ClassifyParameters(
        model=given.model,
        version=given.version,
        variant=given.variant,
        top_k=given.top_k,
        function_to_apply=given.function_to_apply,
        truncation=given.truncation,
        return_digest=given.return_digest,
        timeout_s=limit_s if given.timeout_ms is None else min(limit_s, given.timeout_ms / 1000),
    )


def _record(exchange: Exchange, metrics: Metrics, result: ClassifyResult) -> None:
    model, timings = result.model, result.timings
    exchange.target = Target(model=model.name, version=model.version, variant=model.variant)
    exchange.tokens = sum(usage.tokens for usage in result.usage)
    metrics.request_answered(
        target=exchange.target,
        durations=Durations(
            tokenize_s=timings.tokenize_s,
            queue_s=timings.queue_s,
            compute_s=timings.compute_s,
            postprocess_s=timings.postprocess_s,
        ),
        tokens=exchange.tokens,
        truncated=sum(usage.truncated for usage in result.usage),
    )


def _body(result: ClassifyResult) -> dict[str, Any]:
    """`wire.ClassifyResponse`, as plain values: the runtime's types hold what is promised there."""
    body: dict[str, Any] = {"results": result.results, "usage": result.usage, "model": result.model}
    if result.digests is not None:
        body["digests"] = result.digests
    return body
