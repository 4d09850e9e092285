"""The OpenAPI document: FastAPI's, plus the request bodies that the routes read themselves, within their limits."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from intbert.api.errors import PROBLEM_TYPE
from intbert.api.examples import add_answers
from intbert.api.keys import access_of
from intbert.api.wire import Problem

DESCRIPTION = (
    "Text classification and span answers by integer-only int8 models on CPUs, beside their FP32 originals.\n\n"
    "HEAD is answered wherever GET is; any other method than the documented ones is `405` with `Allow`, any other path "
    "`404`, both as problem documents. So is what is refused before its path is known: `400` (`malformed_http`), `408` "
    "(`head_timeout`) and `431` (`head_too_large`)."
)
REF = "#/components/schemas/{model}"
SCHEME = "key"
INFERENCE_ERRORS = (400, 404, 408, 413, 415, 422, 429, 500, 503, 504)

_PROBLEMS: Mapping[int, str] = {
    400: "The body is not JSON",
    401: "No key, or none that is valid here; only on servers with keys",
    403: "The key is not for this, or a web page of another site asked",
    404: "No such model, version or variant",
    409: "The version can't serve, `code` says why; what served before still does",
    408: "The body did not arrive in time",
    413: "The body, or the number of inputs, is over the limit",
    415: "The body is not declared as JSON",
    422: "A field is wrong, a text is empty or too long, or the model is for another task",
    429: "Overloaded: try again after `retry_after_ms`",
    500: "A fault of the server",
    503: "Not ready: loading, failed to load, or draining",
    504: "The answer was not ready within the time allowed",
}

_HEADERS: Mapping[str, str] = {
    "X-Request-Id": "The request's own, if it is short and plain, else a new one; the log has it too.",
    "Server-Timing": "Milliseconds of tokenize, queue, compute and post, as `tokenize;dur=0.1`.",
    "Retry-After": "Whole seconds after which to ask again.",
    "WWW-Authenticate": "Bearer.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for these statuses."""
    schema = {"$ref": REF.format(model=Problem.__name__)}
    return {
        status: {"description": _PROBLEMS[status], "content": {PROBLEM_TYPE: {"schema": schema}}} for status in statuses
    }


def failures(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route that says errors as `model`, in its own protocol's shape."""
    return {status: {"description": _PROBLEMS[status], "model": model} for status in statuses}


def text_content(media_type: str) -> dict[str, Any]:
    """An answer that is text."""
    return {"description": "OK", "content": {media_type: {"schema": {"type": "string"}}}}


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads `model` itself. Its examples are the model's own."""
    examples = model.model_json_schema().get("examples", [])
    content = {
        "schema": {"$ref": REF.format(model=model.__name__)},
        "examples": {f"example_{index}": {"value": value} for index, value in enumerate(examples, 1)},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def describe(app: FastAPI, *models: type[BaseModel]) -> dict[str, Any]:
    """The document, with the schemas of `models` and of problems among its components."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    every: tuple[type[BaseModel], ...] = (*models, Problem)
    for model in every:
        schema = model.model_json_schema(ref_template=REF)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    _drop_unused_errors(document)
    add_answers(document)
    _add_security(document)
    _add_headers(document)
    return document


def _add_security(document: dict[str, Any]) -> None:
    """Keys are optional: whether a server wants them is its operator's choice. Refusals have the route's own shape."""
    document["components"]["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, method, operation in _operations(document):
        access = access_of(method.upper(), path)
        if access == "open":
            continue
        operation["security"] = [{SCHEME: []}, {}]
        shape = next(
            (answer["content"] for status, answer in operation["responses"].items() if status[0] in "45"), None
        )
        for status in (401, 403) if access == "admin" else (401,):
            answer = {"description": _PROBLEMS[status]} | ({"content": shape} if shape else {})
            operation["responses"].setdefault(str(status), answer)


def _drop_unused_errors(document: dict[str, Any]) -> None:
    """FastAPI adds an error of validation to every route with parameters, also where any text is a valid one."""
    for _, _, operation in _operations(document):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _add_headers(document: dict[str, Any]) -> None:
    """Which answers carry which of our headers, always."""
    document["components"]["headers"] = {
        name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in _HEADERS.items()
    }
    for path, _, operation in _operations(document):
        for status, answer in operation["responses"].items():
            names = ["X-Request-Id"]
            if status == "200" and "requestBody" in operation and path != "/compare":  # it has times of each variant
                names.append("Server-Timing")
            if status in ("429", "503"):
                names.append("Retry-After")
            if status == "401":
                names.append("WWW-Authenticate")
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation
