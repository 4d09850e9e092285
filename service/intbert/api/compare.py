"""POST /compare."""

from dataclasses import replace

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.answer import durations_of, target_of, unless_disconnected
from intbert.api.body import read_json, refuse_query
from intbert.api.classify import classify_job
from intbert.api.exchange import Exchange
from intbert.api.qa import qa_job
from intbert.api.wire import ClassifyParameters
from intbert.api.wire_compare import CompareClassify, CompareRequest
from intbert.api.wire_qa import QaParameters
from intbert.config import Settings
from intbert.runtime.compare import Comparison, comparison_document
from intbert.runtime.jobs import Job, Prepared, Result_co
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics, Target


async def compare(request: Request, service: InferenceService, settings: Settings, metrics: Metrics) -> Response:
    """Read, check and answer. One request in the metrics, of no variant; the stages of each variant that ran."""
    refuse_query(request, ClassifyParameters, QaParameters)
    asked = (
        await read_json(
            request, CompareRequest, limit_bytes=settings.max_body_bytes, limit_s=settings.request_timeout_s
        )
    ).root
    if isinstance(asked, CompareClassify):
        comparison = await _compare(request, service, classify_job(asked, settings), asked.variants)
    else:
        comparison = await _compare(request, service, qa_job(asked, settings), asked.variants)
    _record(request.state.exchange, metrics, comparison)
    return Response(to_json(comparison_document(asked.task, comparison)), media_type="application/json")


async def _compare(
    request: Request, service: InferenceService, job: Job[Prepared, Result_co], variants: list[str] | None
) -> Comparison:
    try:
        return await unless_disconnected(request, service.compare(job, variants))
    except Exception:
        request.state.exchange.target = replace(target_of(service, job), variant="")
        raise


def _record(exchange: Exchange, metrics: Metrics, comparison: Comparison) -> None:
    model = comparison.runs[0].result.model
    exchange.target = Target(model=model.name, version=model.version)
    exchange.tokens = sum(usage.tokens for usage in comparison.usage)
    for index, run in enumerate(comparison.runs):
        exchange.timings.append((run.key.variant, run.result.timings))
        metrics.request_answered(
            target=Target(model=model.name, version=model.version, variant=run.key.variant),
            durations=durations_of(run.result.timings),
            tokens=exchange.tokens,
            truncated=0 if index else sum(usage.truncated for usage in comparison.usage),
        )
