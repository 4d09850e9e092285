"""POST /qa."""

from starlette.requests import Request
from starlette.responses import Response

from intbert.api.answer import limit_timeout_s, respond
from intbert.api.body import read_json, refuse_query
from intbert.api.wire_qa import QaParameters as QaWireParameters
from intbert.api.wire_qa import QaRequest
from intbert.config import Settings
from intbert.errors import InputError
from intbert.runtime.qa import QaParameters, Question
from intbert.runtime.qa_job import QaJob
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics


async def answer_questions(
    request: Request, service: InferenceService, settings: Settings, metrics: Metrics
) -> Response:
    """Read, check and answer."""
    refuse_query(request, QaWireParameters)
    asked = await read_json(request, QaRequest, limit_bytes=settings.max_body_bytes, limit_s=settings.request_timeout_s)
    return await respond(request, service, metrics, qa_job(asked, settings))


def qa_job(asked: QaRequest, settings: Settings) -> QaJob:
    """The request as the service sees it. InputError when it has too many inputs."""
    questions = [Question(question=question, context=context) for question, context in asked.questions()]
    if len(questions) > settings.max_inputs:
        raise InputError.too_many(what="inputs", count=len(questions), limit=settings.max_inputs)
    return QaJob(questions=questions, selection=_parameters(asked, limit_s=settings.request_timeout_s))


def _parameters(asked: QaRequest, *, limit_s: float) -> QaParameters:
    given = asked.parameters.model_dump(exclude={"timeout_ms"})
    return QaParameters(**given, timeout_s=limit_timeout_s(asked.parameters.timeout_ms, limit_s))
