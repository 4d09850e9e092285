"""The one table from domain errors to HTTP statuses, and the problem document (RFC 9457) that every error becomes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from intbert.errors import (
    ActivationError,
    CancelledError,
    ConfigError,
    DeadlineError,
    EngineError,
    InputError,
    IntbertError,
    KernelError,
    NotFoundError,
    OverloadedError,
    PackageError,
    UnavailableError,
)
from intbert.model.manifest import Task

PROBLEM_TYPE = "application/problem+json"
ERRORS_SHOWN = 8
UNAVAILABLE_RETRY_S = 1
TASK_TAGS = frozenset(get_args(Task))  # the shapes of a body at /compare


class HttpError(IntbertError):
    """A request that is wrong already as HTTP or as JSON."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`status` for the client, `reason` for `request_failures_total`."""

    status: int
    reason: str


# Order matters: the first class that fits. Codes that differ from their class are in _CODES.
_CLASSES: Sequence[tuple[type[IntbertError], Verdict]] = (
    (InputError, Verdict(status=422, reason="invalid")),
    (NotFoundError, Verdict(status=404, reason="invalid")),
    (OverloadedError, Verdict(status=429, reason="overloaded")),
    (DeadlineError, Verdict(status=504, reason="deadline")),
    (CancelledError, Verdict(status=499, reason="cancelled")),
    (UnavailableError, Verdict(status=503, reason="unavailable")),
    (ActivationError, Verdict(status=409, reason="unavailable")),
    (PackageError, Verdict(status=503, reason="unavailable")),
    (ConfigError, Verdict(status=503, reason="unavailable")),
    (KernelError, Verdict(status=503, reason="unavailable")),
    (EngineError, Verdict(status=500, reason="internal")),
)
_CODES: Mapping[str, Verdict] = {
    "too_long": Verdict(status=422, reason="too_long"),
    "too_many": Verdict(status=413, reason="invalid"),
}
INTERNAL = Verdict(status=500, reason="internal")


def judge(error: Exception) -> Verdict:
    """Status and reason of any exception; what is not ours is internal."""
    if isinstance(error, HttpError):
        return Verdict(status=error.status, reason="invalid" if error.status < 500 else "internal")
    if isinstance(error, InputError) and error.code in _CODES:
        return _CODES[error.code]
    return next((verdict for kind, verdict in _CLASSES if isinstance(error, kind)), INTERNAL)


def problem(error: Exception, *, request_id: str) -> Response:
    """The answer for `error` as a problem document."""
    verdict, known = judge(error), public_error(error)
    body = {
        **known.details,
        "type": "about:blank",
        "title": _title(verdict.status),
        "status": verdict.status,
        "detail": known.message,
        "code": known.code,
        "request_id": request_id,
    }
    return Response(
        to_json(body), status_code=verdict.status, media_type=PROBLEM_TYPE, headers=retry_headers(known, verdict.status)
    )


def public_error(error: Exception) -> IntbertError:
    """What a client may know of `error`: a fault that is not in the tree says nothing about the inside."""
    if isinstance(error, IntbertError):
        return error
    return IntbertError("the server failed; its log has this request's id")


def retry_headers(error: IntbertError, status: int) -> dict[str, str]:
    """The error's own headers, and when to come back."""
    if isinstance(error, HttpError):
        return error.headers
    if isinstance(error, OverloadedError):
        return {"retry-after": str(max(1, math.ceil(error.retry_after_ms / 1000)))}
    return {"retry-after": str(UNAVAILABLE_RETRY_S)} if status == 503 else {}


def invalid_body(error: ValidationError) -> HttpError:
    """400 for what is no JSON, else 422 with the fields that are wrong. Never repeats the client's text."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    if items[0]["type"] == "json_invalid":
        return HttpError(
            400, "malformed_json", f"the body is not JSON: {items[0]['msg'].removeprefix('Invalid JSON: ')}"
        )
    fields = [{"field": field_path(item["loc"]), "message": _message(item)} for item in items[:ERRORS_SHOWN]]
    first = fields[0]
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    detail = f"{first['field']}: {first['message']}{more}"
    return HttpError(422, "invalid_request", detail, details={"errors": fields})


def field_path(location: Sequence[int | str]) -> str:
    """`("inputs", "list", 3, "pair", "text")` as `inputs[3].text`: the tags of the shapes of `inputs` are left out."""
    parts = list(location)
    if parts and parts[0] in TASK_TAGS:
        parts.pop(0)
    if parts[:1] in (["inputs"], ["input"]) and len(parts) > 1 and isinstance(parts[1], str):
        tag = parts.pop(1)
        if tag == "list" and len(parts) > 2:
            parts.pop(2)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path.lstrip(".") or "body"


def _message(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown field"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"needs a task: {' or '.join(sorted(TASK_TAGS))}"
    return str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")


def _title(status: int) -> str:
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
