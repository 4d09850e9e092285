"""Errors in each protocol's own shape. Which status an error has is the one table's matter, whatever the protocol."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from intbert.api.errors import judge, problem, public_error, retry_headers
from intbert.errors import InputError, IntbertError

TEI_TYPES: Mapping[int, str] = {429: "Overloaded", 503: "Unhealthy"}
TEI_EMPTY = frozenset({"empty_text", "empty_inputs"})
# How each protocol asks that the end of a text over the model's limit be dropped.
CUTTING: Mapping[str, str] = {
    "/predict": '"truncate": true',
    "/v1/": '"truncate_prompt_tokens": -1',
    "/hf/": '"parameters": {"truncation": true}',
    "/": '"parameters": {"truncation": "truncate"}',
}
V1_TYPES: Mapping[int, str] = {404: "NotFoundError", 422: "UnprocessableEntityError"}


class PlainError(BaseModel):
    """How the Open Inference Protocol and Hugging Face's inference API say what is wrong."""

    error: str


class TeiError(BaseModel):
    """How text-embeddings-inference says what is wrong."""

    error: str
    error_type: str


class V1ErrorInfo(BaseModel):
    """`code` is the HTTP status."""

    message: str
    type: str
    param: str | None
    code: int


class V1Error(BaseModel):
    """How OpenAI-like servers say what is wrong."""

    error: V1ErrorInfo


def failure(error: Exception, *, path: str, request_id: str) -> Response:
    """The answer for `error` at `path`: a problem document, or the shape of the protocol that the path belongs to."""
    error, shape = _advised(error, path), _shape_at(path)
    if shape is None:
        return problem(error, request_id=request_id)
    status, known = judge(error).status, public_error(error)
    return Response(
        to_json(shape(known, status)),
        status_code=status,
        media_type="application/json",
        headers=retry_headers(known, status),
    )


def _advised(error: Exception, path: str) -> Exception:
    """With the way out that the caller's protocol has for a text that is too long."""
    if not isinstance(error, InputError) or not error.can_be_cut:
        return error
    words = next(words for start, words in CUTTING.items() if path.startswith(start))
    return error.with_advice(f"send {words}")


def _shape_at(path: str) -> "Callable[[IntbertError, int], dict[str, Any]] | None":
    if path == "/predict":
        return _tei
    if path.startswith("/v1/"):
        return _v1
    return _plain if path == "/v2" or path.startswith(("/v2/", "/hf/")) else None


def _plain(error: IntbertError, _status: int) -> dict[str, Any]:
    return {"error": error.message}


def _tei(error: IntbertError, status: int) -> dict[str, Any]:
    """Its types: Unhealthy, Backend, Overloaded, Validation, Tokenizer, Empty."""
    known = "Empty" if error.code in TEI_EMPTY else TEI_TYPES.get(status)
    return {"error": error.message, "error_type": known or ("Backend" if status >= 500 else "Validation")}


def _v1(error: IntbertError, status: int) -> dict[str, Any]:
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    if status in (429, 503, 504):
        kind = HTTPStatus(status).phrase.replace(" ", "") + "Error"
    field = error.details.get("field")
    if field is None and error.details.get("errors"):
        field = error.details["errors"][0]["field"]
    message = error.message
    if field is not None and field.startswith("inputs"):  # this protocol's word is `input`
        own = field.replace("inputs", "input", 1)
        field, message = own, message.replace(field, own)
    return {"error": {"message": message, "type": V1_TYPES.get(status, kind), "param": field, "code": status}}
