"""The OpenAPI document: FastAPI's, plus the request bodies that the routes read themselves, within their limits."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from intbert.api.errors import PROBLEM_TYPE
from intbert.api.examples import add_answers
from intbert.api.keys import access_of
from intbert.api.wire import Problem

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
    add_answers(document)
    _add_security(document)
    return document


def _add_security(document: dict[str, Any]) -> None:
    """Keys are optional: whether a server wants them is its operator's choice. Refusals have the route's own shape."""
    document["components"]["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
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
