"""The Open Inference Protocol v2 over JSON: metadata, readiness, inference."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response

from intbert.api import operations
from intbert.api.adapters.common import Backend
from intbert.api.adapters.oip_wire import (
    NO_BINARY,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    RequestParameters,
    ResponseOutput,
    ResponseParameters,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from intbert.api.errors import HttpError
from intbert.errors import InputError, NotFoundError
from intbert.model.manifest import Task
from intbert.runtime.answers import Result
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.qa import QaParameters, QaResult, Question
from intbert.runtime.service import InferenceService

PLATFORM = "intbert_package"
INPUTS: dict[Task, tuple[str, ...]] = {
    "text-classification": ("text", "text_pair"),
    "question-answering": ("question", "context"),
}
Choice = TypeVar("Choice", bound=str)


def server_live(service: InferenceService) -> ServerLive:
    """UnavailableError when a restart would help."""
    operations.livez(service)
    return ServerLive(live=True)


def server_ready(service: InferenceService) -> ServerReady:
    """UnavailableError with the reason."""
    operations.readyz(service)
    return ServerReady(live=True, ready=True)


def server_metadata(version: str) -> ServerMetadata:
    """Name and version of this server."""
    return ServerMetadata(name="intbert", version=version, extensions=[])


def model_ready(service: InferenceService, name: str, version: str | None) -> ModelReady:
    """NotFoundError, or UnavailableError with the reason."""
    operations.readyz(service)
    entries_of(service, name, version)
    return ModelReady(name=name, ready=True)


def model_metadata(service: InferenceService, name: str, version: str | None) -> ModelMetadata:
    """Inputs and outputs of a model. NotFoundError."""
    entries = entries_of(service, name, version)
    entry = entries[-1]
    texts = [TensorMetadata(name=tensor, datatype="BYTES", shape=[-1]) for tensor in INPUTS[entry["task"]]]
    return ModelMetadata(
        name=name,
        versions=[str(each["version"]) for each in entries],
        platform=PLATFORM,
        inputs=texts,
        outputs=_label_tensors(len(entry["labels"])) if entry["labels"] else _span_tensors(),
    )


async def infer(request: Request, backend: Backend, name: str, version: str | None) -> Response:
    """Read, check and answer."""
    if "inference-header-content-length" in request.headers:
        raise HttpError(415, "unsupported_media_type", NO_BINARY)
    asked = await backend.read(request, InferRequest, untyped=True)  # Triton's own client declares nothing
    given = asked.parameters or RequestParameters()
    # Another version than the newest may have to be read and verified first: not on the event loop.
    beside = version is not None
    find = backend.service.manifest
    task = (await asyncio.to_thread(find, name, version) if beside else find(name)).task
    columns = columns_of(asked, INPUTS[task])
    if task == "question-answering":
        return await _infer_spans(request, backend, asked, columns, _span_selection(backend, given, name, version))
    return await _infer_labels(request, backend, asked, columns, _label_selection(backend, given, name, version))


def entries_of(service: InferenceService, name: str, version: str | None) -> list[dict[str, Any]]:
    """The usable versions of a model, or the one that is named. NotFoundError."""
    models = [entry for entry in service.models() if "error" not in entry]
    entries = [entry for entry in models if entry["name"] == name]
    if not entries:
        raise NotFoundError.of("model", name, sorted({str(entry["name"]) for entry in models}))
    chosen = [entry for entry in entries if version in (None, entry["version"])]
    if not chosen:
        raise NotFoundError.of("version", str(version), [str(entry["version"]) for entry in entries], where=name)
    return chosen


def columns_of(asked: InferRequest, known: Sequence[str]) -> dict[str, list[str]]:
    """Texts by the name of their input. InputError for unknown, missing, repeated or uneven inputs."""
    columns = {tensor.name: tensor.data for tensor in asked.inputs}
    if len(columns) < len(asked.inputs) or not set(columns) <= set(known) or known[0] not in columns:
        names = ", ".join(known)
        raise InputError(f"inputs must be {names}, each at most once, at least {known[0]}", code="invalid_request")
    if len({len(texts) for texts in columns.values()}) > 1:
        raise InputError("the inputs have different numbers of texts", code="invalid_request")
    return columns


async def _infer_labels(
    request: Request,
    backend: Backend,
    asked: InferRequest,
    columns: dict[str, list[str]],
    selection: ClassifyParameters,
) -> Response:
    check_outputs(asked, _label_tensors(0))
    texts = columns["text"]
    pairs: Sequence[str | None] = columns.get("text_pair") or [None] * len(texts)
    inputs = [TextInput(text=text, text_pair=pair) for text, pair in zip(texts, pairs, strict=True)]

    def write(result: ClassifyResult) -> Any:
        ranked = [item for labels in result.results for item in labels]
        data: list[Any] = [
            [labels[0].label for labels in result.results],
            [labels[0].score for labels in result.results],
            [item.label for item in ranked],
            [item.score for item in ranked],
        ]
        return response(asked, result, _label_tensors(len(result.labels)), data)

    return await backend.classify(request, inputs, selection, write)


async def _infer_spans(
    request: Request, backend: Backend, asked: InferRequest, columns: dict[str, list[str]], selection: QaParameters
) -> Response:
    check_outputs(asked, _span_tensors())
    if "context" not in columns:
        raise InputError("the input context is missing", code="invalid_request")
    pairs = zip(columns["question"], columns["context"], strict=True)
    questions = [Question(question=question, context=context) for question, context in pairs]

    def write(result: QaResult) -> Any:
        best = [found[0] for found in result.results]
        data: list[Any] = [[getattr(span, tensor.name) for span in best] for tensor in _span_tensors()]
        return response(asked, result, _span_tensors(), data)

    return await backend.answer(request, questions, selection, write)


def response(asked: InferRequest, result: Result, tensors: Sequence[TensorMetadata], data: list[Any]) -> dict[str, Any]:
    """The answer: of `tensors` with their `data` those that were asked for, in that order."""
    inputs = len(result.usage)
    outputs = {
        tensor.name: ResponseOutput(
            name=tensor.name, shape=[inputs, *tensor.shape[1:]], datatype=tensor.datatype, data=values
        )
        for tensor, values in zip(tensors, data, strict=True)
    }
    names = [output.name for output in asked.outputs or []] or list(outputs)
    body = InferResponse(
        model_name=result.model.name,
        model_version=result.model.version,
        id=asked.id,
        parameters=ResponseParameters(
            variant=result.model.variant,
            sha256=result.model.sha256,
            tokens=sum(usage.tokens for usage in result.usage),
            truncated_inputs=sum(usage.truncated for usage in result.usage),
        ),
        outputs=[outputs[name] for name in names],
    )
    return body.model_dump(exclude_none=True)


def check_outputs(asked: InferRequest, tensors: Sequence[TensorMetadata]) -> None:
    """InputError for an output that there is not."""
    known = [tensor.name for tensor in tensors]
    for output in asked.outputs or []:
        if output.name not in known:
            raise InputError(f"there is no output of that name; known: {', '.join(known)}", code="invalid_request")


def _label_selection(backend: Backend, given: RequestParameters, name: str, version: str | None) -> ClassifyParameters:
    return ClassifyParameters(
        model=name,
        version=version,
        variant=given.variant,
        function_to_apply=given.function_to_apply,
        truncation=_truncation(given, ("error", "truncate"), "error"),
        timeout_s=backend.timeout_s(given.timeout_ms),
    )


def _span_selection(backend: Backend, given: RequestParameters, name: str, version: str | None) -> QaParameters:
    if given.function_to_apply is not None:
        raise InputError("function_to_apply is for classification, not question-answering", code="invalid_parameter")
    return QaParameters(
        model=name,
        version=version,
        variant=given.variant,
        truncation=_truncation(given, ("window", "error"), "window"),
        timeout_s=backend.timeout_s(given.timeout_ms),
    )


def _truncation(given: RequestParameters, known: tuple[Choice, ...], default: Choice) -> Choice:
    if given.truncation is None:
        return default
    if given.truncation not in known:
        raise InputError(f"truncation must be {' or '.join(known)} for this model", code="invalid_parameter")
    return cast(Choice, given.truncation)


def _label_tensors(labels: int) -> list[TensorMetadata]:
    """The best label with its score, and all of them, best first."""
    return [
        TensorMetadata(name="label", datatype="BYTES", shape=[-1]),
        TensorMetadata(name="score", datatype="FP64", shape=[-1]),
        TensorMetadata(name="labels", datatype="BYTES", shape=[-1, labels]),
        TensorMetadata(name="scores", datatype="FP64", shape=[-1, labels]),
    ]


def _span_tensors() -> list[TensorMetadata]:
    """The best answer; start and end in code points of the context."""
    datatypes: dict[str, Literal["BYTES", "FP64", "INT64"]] = {
        "answer": "BYTES",
        "score": "FP64",
        "start": "INT64",
        "end": "INT64",
    }
    return [TensorMetadata(name=name, datatype=datatype, shape=[-1]) for name, datatype in datatypes.items()]
