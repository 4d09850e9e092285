"""The application: routes and handlers around an InferenceService. Built by a factory from its parts; no globals."""

import asyncio
import gc
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from intbert.api import operations
from intbert.api.activate import Activated, activate
from intbert.api.adapters.common import Backend
from intbert.api.adapters.errors import failure
from intbert.api.adapters.routes import ADAPTER_BODIES, add_adapters
from intbert.api.classify import classify
from intbert.api.compare import compare
from intbert.api.direct import DirectRoutes
from intbert.api.errors import HttpError
from intbert.api.exchange import ExchangeMiddleware
from intbert.api.keys import KeysMiddleware, load_keys
from intbert.api.openapi import DESCRIPTION, INFERENCE_ERRORS, describe, problems, request_body, text_content
from intbert.api.page import add_page
from intbert.api.qa import answer_questions
from intbert.api.wire import ClassifyRequest, ClassifyResponse, Name
from intbert.api.wire_compare import CompareRequest, CompareResponse
from intbert.api.wire_models import ModelResponse, ModelsResponse, ProbeResponse
from intbert.api.wire_qa import QaRequest, QaResponse
from intbert.config import Settings
from intbert.errors import IntbertError
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics, Target
from intbert.telemetry.traces import Traces
from intbert.version import package_version

Route = Callable[[Request], Awaitable[Response]]
Handler = Callable[..., Response | Awaitable[Response]]
TRACES_CLOSE_S = 3.0  # for the spans that are left, while a collector may be gone
# Newer FastAPIs export traces, metrics and logs by themselves where the environment names a collector. Ours are
# `telemetry.traces`: with stages, without what a client sends.
NO_TELEMETRY: TelemetryConfig = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}


def create_app(
    service: InferenceService,
    settings: Settings,
    metrics: Metrics,
    logger: FilteringBoundLogger,
    traces: Traces | None = None,
) -> ASGIApp:
    """`service` is started when the application starts, and closed when it ends; `metrics` must be its observer.

    `traces` are closed after it.
    """
    app = FastAPI(
        title="intbert",
        version=package_version(),
        description=DESCRIPTION,
        docs_url=None,  # they load their scripts from another site
        redoc_url=None,
        redirect_slashes=False,  # the address would be made of what the client sent as Host
        telemetry=NO_TELEMETRY,
        lifespan=lambda _app: _lifespan(service, settings, metrics, logger, traces, cut_off=lambda: exchange.cut_off),
    )
    handlers = _inference(service, settings, metrics)
    _add_inference(app, handlers)
    add_adapters(app, Backend(service=service, settings=settings, metrics=metrics))
    _add_operations(app, service, metrics, logger)
    _add_errors(app)
    app.openapi = _cached(lambda: describe(app, ClassifyRequest, QaRequest, CompareRequest, *ADAPTER_BODIES))  # type: ignore[method-assign]
    exchange = ExchangeMiddleware(
        KeysMiddleware(DirectRoutes(app, handlers), keys=load_keys(settings)),
        metrics=metrics,
        traces=traces,
        logger=logger,
        draining=lambda: service.draining,
        requests_max=settings.max_requests,
        retry_ms=service.next_batch_ms,
    )
    return exchange


@asynccontextmanager
async def _lifespan(
    service: InferenceService,
    settings: Settings,
    metrics: Metrics,
    logger: FilteringBoundLogger,
    traces: Traces | None,
    *,
    cut_off: Callable[[], int],
) -> AsyncIterator[None]:
    """Load beside the event loop, so that probes are answered meanwhile; close within the bound.

    `cut_off` says how many requests the server gave up when its own bound was over, which is before this ends.
    """
    loading = asyncio.create_task(asyncio.to_thread(_start, service, metrics, logger))
    try:
        yield
    finally:
        finished = await asyncio.to_thread(service.close, settings.drain_timeout_s)
        logger.info("stopped", everything_answered=finished and not cut_off())
        await loading
        if traces is not None:
            await asyncio.to_thread(traces.close, TRACES_CLOSE_S)


def _start(service: InferenceService, metrics: Metrics, logger: FilteringBoundLogger) -> None:
    """A broken store is a state, with its reason at /readyz. Anything unexpected ends the service, with a traceback."""
    try:
        _load(service, metrics, logger)
    except Exception as error:
        logger.error("loading failed", exc_info=error)
        service.close(0.0)


def _load(service: InferenceService, metrics: Metrics, logger: FilteringBoundLogger) -> None:
    metrics.watch_arenas(service.arena_bytes)
    status = service.start()
    if not status.ready:
        logger.error("not ready", state=status.state, code=status.code, reason=status.reason)
        return
    for item in service.refusals():
        told = {"model": item.model, "version": item.version, "code": item.error.code, "reason": item.error.message}
        logger.error("version passed over, an older one serves", **told)
    metrics.refused_versions.set(len(service.refusals()))
    machine = service.machine()
    _declare_variants(service, metrics)
    metrics.build(
        version=package_version(), kernels=str(machine["kernels"]["active"]), python=platform.python_version()
    )
    _settle()
    logger.info("ready", models=[f"{entry['name']}/{entry['version']}" for entry in service.models()], machine=machine)


def _settle() -> None:
    """What serves stays: no collection needs to look through it again, which costs a tenth of a small request."""
    gc.collect()
    gc.freeze()


def _declare_variants(service: InferenceService, metrics: Metrics) -> None:
    """All that can be asked for, loaded or not."""
    for entry in service.models():
        for variant in entry["variants"]:
            target = Target(model=entry["name"], version=entry["version"], variant=variant)
            metrics.declare_variant(target)


def _inference(service: InferenceService, settings: Settings, metrics: Metrics) -> Mapping[str, Route]:
    async def post_qa(request: Request) -> Response:
        return await answer_questions(request, service, settings, metrics)

    async def post_classify(request: Request) -> Response:
        return await classify(request, service, settings, metrics)

    async def post_compare(request: Request) -> Response:
        return await compare(request, service, settings, metrics)

    return {"/qa": post_qa, "/classify": post_classify, "/compare": post_compare}


def _add_inference(app: FastAPI, handlers: Mapping[str, Route]) -> None:
    def post(path: str, summary: str, asks: type[BaseModel], answers: type[BaseModel]) -> None:
        responses = {200: {"model": answers}, **problems(*INFERENCE_ERRORS)}
        extra = request_body(asks)
        describe_route = app.post(
            path, summary=summary, response_class=Response, responses=responses, openapi_extra=extra
        )
        describe_route(handlers[path])

    post("/qa", "Answer a question, or many, with a span of a text", QaRequest, QaResponse)
    post("/classify", "Classify one text, a pair, or many", ClassifyRequest, ClassifyResponse)
    post("/compare", "Answer with several variants of one model, side by side", CompareRequest, CompareResponse)


def _add_operations(app: FastAPI, service: InferenceService, metrics: Metrics, logger: FilteringBoundLogger) -> None:
    # Plain functions run in the thread pool: none of them holds up the event loop.
    def get(path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return app.get(path, summary=summary, response_class=Response, **more)

    add_page(app)

    @get("/models", "All models", responses={200: {"model": ModelsResponse}, **problems(500, 503)})
    def get_models() -> Response:
        return operations.list_models(service)

    @get(
        "/models/{name}",
        "All versions of one model",
        responses={200: {"model": ModelResponse}, **problems(404, 500, 503)},
    )
    def get_model(name: str) -> Response:
        return operations.show_model(service, name)

    @get(
        "/models/{name}/report",
        "The model's report, a page",
        responses={200: text_content("text/html"), **problems(404, 422, 500, 503)},
    )
    def get_report(name: str, version: Name | None = None) -> Response:
        return operations.show_report(service, name, version)

    @app.post(
        "/models/{name}/versions/{version}/activate",
        summary="Serve this version by default, after loading and testing it; the one before stays for a way back",
        response_class=Response,
        responses={200: {"model": Activated}, **problems(404, 409, 500, 503)},
    )
    def post_activate(name: str, version: str) -> Response:
        answer = activate(service, logger, name, version)
        _declare_variants(service, metrics)
        return answer

    @get("/metrics", "Metrics for Prometheus", responses={200: text_content("text/plain")})
    def get_metrics() -> Response:
        return operations.render_metrics(metrics)

    # The probes answer from memory and must not wait for a thread.
    probe = {200: {"model": ProbeResponse}, **problems(503)}

    @get("/livez", "Alive: the workers make progress", responses=probe)
    async def get_livez() -> Response:
        return operations.livez(service)

    @get("/readyz", "Ready for requests", responses=probe)
    async def get_readyz() -> Response:
        return operations.readyz(service)

    @get("/startupz", "The models were loaded", responses=probe)
    async def get_startupz() -> Response:
        return operations.startupz(service)


def _add_errors(app: FastAPI) -> None:
    def respond(request: Request, error: Exception) -> Response:
        request.state.exchange.error = error
        return failure(error, path=request.url.path, request_id=request.state.exchange.request_id)

    async def on_error(request: Request, error: Exception) -> Response:
        return respond(request, error)

    async def on_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return respond(request, _routing_error(request, error))

    async def on_parameters(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return respond(request, HttpError(422, "invalid_request", f"{field}: {first['msg']}"))

    app.add_exception_handler(IntbertError, on_error)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_parameters)


def _routing_error(request: Request, error: HTTPException) -> HttpError:
    path = request.url.path[:200]
    if error.status_code == 404:
        return HttpError(
            404, "route_not_found", f"there is nothing at {path}; see /openapi.json", headers=error.headers
        )
    if error.status_code == 405:
        detail = f"{request.method} is not possible at {path}"
        return HttpError(405, "method_not_allowed", detail, headers=error.headers)
    return HttpError(error.status_code, "http_error", str(error.detail), headers=error.headers)


def _cached(build: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    documents: list[dict[str, Any]] = []

    def document() -> dict[str, Any]:
        if not documents:
            documents.append(build())
        return documents[0]

    return document
