"""POST /classify."""

from starlette.requests import Request
from starlette.responses import Response

from intbert.api.answer import limit_timeout_s, respond
from intbert.api.body import read_json, refuse_query
from intbert.api.wire import ClassifyParameters as ClassifyWireParameters
from intbert.api.wire import ClassifyRequest
from intbert.config import Settings
from intbert.errors import InputError
from intbert.runtime.classify import ClassifyParameters, TextInput
from intbert.runtime.jobs import ClassifyJob
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics


async def classify(request: Request, service: InferenceService, settings: Settings, metrics: Metrics) -> Response:
    """Read, check and answer."""
    refuse_query(request, ClassifyWireParameters)
    asked = await read_json(
        request, ClassifyRequest, limit_bytes=settings.max_body_bytes, limit_s=settings.request_timeout_s
    )
    return await respond(request, service, metrics, classify_job(asked, settings))


def classify_job(asked: ClassifyRequest, settings: Settings) -> ClassifyJob:
    """The request as the service sees it. InputError when it has too many inputs."""
    inputs = [TextInput(text=text, text_pair=pair) for text, pair in asked.texts()]
    if len(inputs) > settings.max_inputs:
        raise InputError.too_many(what="inputs", count=len(inputs), limit=settings.max_inputs)
    return ClassifyJob(texts=inputs, selection=_parameters(asked, limit_s=settings.request_timeout_s))


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
        timeout_s=limit_timeout_s(given.timeout_ms, limit_s),
    )
