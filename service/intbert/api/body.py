"""Reading a request's body within its limit, as JSON and nothing else."""

import asyncio
from collections.abc import Mapping
from email.message import Message
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from intbert.api.errors import HttpError, invalid_body
from intbert.errors import CancelledError

Model = TypeVar("Model", bound=BaseModel)
Headers = Mapping[bytes, bytes]


async def read_json(
    request: Request, model: type[Model], *, limit_bytes: int, limit_s: float, untyped: bool = False
) -> Model:
    """The body as `model`. Raises HttpError (400, 408, 413, 415, 422) or CancelledError when the client left.

    With `untyped` a body that is not declared as anything is taken for JSON, unless a web page sent it.
    """
    headers = dict(request.scope["headers"])  # of one that was sent twice the last counts
    if not (untyped and b"content-type" not in headers and b"origin" not in headers):
        _check_type(headers)
    _check_encoding(headers)
    _check_length(headers, limit_bytes)
    try:
        async with asyncio.timeout(limit_s):
            body = await _read(request, limit_bytes)
    except TimeoutError:
        raise _too_slow(limit_s) from None
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None


def refuse_query(request: Request, *parameters: type[BaseModel]) -> None:
    """HttpError 422 for any parameter of the address: passed over, it would be answered wrongly.

    `parameters` are what the body may have under that name.
    """
    if not request.scope["query_string"]:
        return
    for name in request.query_params:
        shown = name[:80]
        known = any(name in model.model_fields for model in parameters)
        where = f', which belongs into the body: {{"parameters": {{"{shown}": ...}}}}' if known else ""
        message = f"this address takes no parameter {shown!r}{where}"
        raise HttpError(422, "invalid_request", message, details={"field": shown})


def _check_type(headers: Headers) -> None:
    declared = headers.get(b"content-type", b"")
    if declared != b"application/json":
        _check_declared(declared.decode("latin-1"))


def _check_encoding(headers: Headers) -> None:
    encoding = headers.get(b"content-encoding", b"").decode("latin-1")
    if encoding.strip().lower() not in ("", "identity"):
        raise HttpError(
            415, "unsupported_encoding", f"content-encoding {encoding[:40]!r} is not supported; send plain JSON"
        )


def _check_declared(declared: str) -> None:
    message = Message()
    message["content-type"] = declared
    charset = message.get_content_charset("utf-8")
    if message.get_content_type() != "application/json" or charset not in {"utf-8", "utf8"}:
        raise HttpError(
            415,
            "unsupported_media_type",
            f"content-type is {declared[:80]!r}; send UTF-8 JSON with the header 'content-type: application/json'",
        )


def _check_length(headers: Headers, limit_bytes: int) -> None:
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)


async def _read(request: Request, limit_bytes: int) -> bytes:
    """Stops at the limit: a body of any size costs no more memory than that."""
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CancelledError("the client closed the connection while it sent the body")
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_slow(limit_s: float) -> HttpError:
    """Nobody holds a connection, and what was read on it, for as long as they like."""
    detail = f"the body did not arrive within {limit_s:g} s; send it faster, or fewer inputs at a time"
    return HttpError(408, "body_timeout", detail, headers={"connection": "close"})


def _too_large(limit_bytes: int) -> HttpError:
    """The rest of the body is not read, so the connection can't be used again."""
    return HttpError(
        413,
        "body_too_large",
        f"the body is larger than the limit of {limit_bytes} bytes; send fewer or shorter inputs at a time",
        details={"limit": limit_bytes},
        headers={"connection": "close"},
    )
