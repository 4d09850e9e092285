"""The routes of all adapters."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.adapters import hf, oip, tei, v1
from intbert.api.adapters.common import Backend, Choice
from intbert.api.adapters.errors import PlainError, TeiError, V1Error
from intbert.api.adapters.oip_wire import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from intbert.api.openapi import INFERENCE_ERRORS, failures, request_body

ADAPTER_BODIES: tuple[type[BaseModel], ...] = (
    tei.PredictRequest,
    v1.V1ClassifyRequest,
    hf.HfClassifyRequest,
    hf.HfQaRequest,
    InferRequest,
)
Chosen = Annotated[Choice, Query()]
ChosenV1 = Annotated[v1.V1Choice, Query()]
Handler = Callable[..., Awaitable[Response]]


def add_adapters(app: FastAPI, backend: Backend) -> None:
    """Add every adapter to the application."""
    _add_classifiers(app, backend)
    _add_questions(app, backend)
    _add_oip_inference(app, backend)
    _add_oip_operations(app, backend)


def _describe(
    summary: str, tag: str, asks: type[BaseModel], answers: type[BaseModel], errors: type[BaseModel]
) -> dict[str, Any]:
    """Keyword arguments of an inference route."""
    return {
        "summary": summary,
        "tags": [tag],
        "response_class": Response,
        "responses": {200: {"model": answers}, **failures(errors, *INFERENCE_ERRORS)},
        "openapi_extra": request_body(asks),
    }


def _add_classifiers(app: FastAPI, backend: Backend) -> None:
    @app.post(
        "/predict",
        **_describe(
            "Classify, in the shape of text-embeddings-inference",
            "text-embeddings-inference",
            tei.PredictRequest,
            tei.PredictResponse,
            TeiError,
        ),
    )
    async def post_predict(request: Request, choice: Chosen) -> Response:
        return await tei.predict(request, backend, choice)

    @app.post(
        "/v1/classify",
        **_describe(
            "Classify, in the shape of vLLM and SGLang",
            "vLLM and SGLang",
            v1.V1ClassifyRequest,
            v1.V1ClassifyResponse,
            V1Error,
        ),
    )
    async def post_v1_classify(request: Request, choice: ChosenV1) -> Response:
        return await v1.classify(request, backend, choice)


def _add_questions(app: FastAPI, backend: Backend) -> None:
    tag = "Hugging Face's inference API"

    @app.post(
        "/hf/text-classification",
        **_describe(
            "Classify, in the shape of InferenceClient", tag, hf.HfClassifyRequest, hf.HfClassifyResponse, PlainError
        ),
    )
    async def post_hf_classify(request: Request, choice: Chosen) -> Response:
        return await hf.classify(request, backend, choice)

    @app.post(
        "/hf/question-answering",
        **_describe(
            "Answer a question, in the shape of InferenceClient", tag, hf.HfQaRequest, hf.HfQaResponse, PlainError
        ),
    )
    async def post_hf_answer(request: Request, choice: Chosen) -> Response:
        return await hf.answer(request, backend, choice)


def _add_oip_inference(app: FastAPI, backend: Backend) -> None:
    described = _describe("Infer", "Open Inference Protocol v2", InferRequest, InferResponse, PlainError)

    @app.post("/v2/models/{name}/infer", **described)
    async def post_infer(request: Request, name: str) -> Response:
        return await oip.infer(request, backend, name, None)

    @app.post("/v2/models/{name}/versions/{version}/infer", **described)
    async def post_infer_version(request: Request, name: str, version: str) -> Response:
        return await oip.infer(request, backend, name, version)


def _add_oip_operations(app: FastAPI, backend: Backend) -> None:
    service = backend.service

    def get(path: str, summary: str, answers: type[BaseModel], *statuses: int) -> Callable[[Any], Any]:
        return app.get(
            path,
            summary=summary,
            tags=["Open Inference Protocol v2"],
            response_model=answers,
            responses=failures(PlainError, *statuses),
        )

    @get("/v2", "This server", ServerMetadata, 401)
    async def get_server() -> ServerMetadata:
        return oip.server_metadata(app.version)

    # The probes answer from memory and must not wait for a thread.
    @get("/v2/health/live", "Alive", ServerLive, 503)
    async def get_live() -> ServerLive:
        return oip.server_live(service)

    @get("/v2/health/ready", "Ready for requests", ServerReady, 503)
    async def get_ready() -> ServerReady:
        return oip.server_ready(service)

    @get("/v2/models/{name}", "A model's inputs and outputs", ModelMetadata, 404, 500, 503)
    def get_model(name: str) -> ModelMetadata:
        return oip.model_metadata(service, name, None)

    @get("/v2/models/{name}/versions/{version}", "The same of one version", ModelMetadata, 404, 500, 503)
    def get_version(name: str, version: str) -> ModelMetadata:
        return oip.model_metadata(service, name, version)

    @get("/v2/models/{name}/ready", "Whether a model answers", ModelReady, 404, 500, 503)
    def get_model_ready(name: str) -> ModelReady:
        return oip.model_ready(service, name, None)

    @get("/v2/models/{name}/versions/{version}/ready", "The same of one version", ModelReady, 404, 500, 503)
    def get_version_ready(name: str, version: str) -> ModelReady:
        return oip.model_ready(service, name, version)
