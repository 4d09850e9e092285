"""What can go wrong, seen from the client.

ClientError
|- ArgumentError          what was asked for can't be sent: the address, the key, or a value that is no JSON
|- ConnectionFailedError  no answer: refused, reset, or too slow
|- AnswerError            an answer, but not this service's
`- ApiError               the service's problem document: status, code, detail, request_id, and its figures
   |- RequestError          400, 405, 408, 413, 415, 422, 431: the request has to change
   |- UnauthorizedError     401, 403: the key
   |- NotFoundError         404: no such model, version, variant
   |- OverloadedError       429: come back after retry_after_s
   |- UnavailableError      503: loading, broken store, or draining
   |- DeadlineError         504: more time, or less to do
   `- ServerFaultError      500 and any other
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Base of all."""


class ArgumentError(ClientError):
    """Nothing was sent; the message names what can't be."""


class ConnectionFailedError(ClientError):
    """No answer came; the cause is chained."""


class AnswerError(ClientError):
    """An answer came that this client can't read."""


class ApiError(ClientError):
    """The service refused or failed; `problem` is its RFC 9457 document, whole."""

    def __init__(self, problem: Mapping[str, Any], *, status: int, retry_after_s: float | None) -> None:
        self.problem = dict(problem)
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail", "the answer has no problem document"))
        self.request_id = str(problem.get("request_id", ""))
        self.retry_after_s = retry_after_s  # what the server asks for; None when it says nothing
        super().__init__(f"{status} {self.code}: {self.detail}")


class RequestError(ApiError):
    """The request has to change; the same again would fail again."""


class UnauthorizedError(ApiError):
    """The key is missing, wrong, or not allowed to do this."""


class NotFoundError(ApiError):
    """`problem["known"]` lists what there is."""


class OverloadedError(ApiError):
    """Too much to do, also after the retries that the policy allows."""


class UnavailableError(ApiError):
    """Not ready, also after the retries that the policy allows."""


class DeadlineError(ApiError):
    """The answer was not ready in time."""


class ServerFaultError(ApiError):
    """The server's own fault; its log has `request_id`."""


KINDS: Mapping[int, type[ApiError]] = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    404: NotFoundError,
    429: OverloadedError,
    503: UnavailableError,
    504: DeadlineError,
}


def api_error(problem: Mapping[str, Any], *, status: int, retry_after_s: float | None) -> ApiError:
    """The error of that status."""
    kind = KINDS.get(status, RequestError if 400 <= status < 500 else ServerFaultError)
    return kind(problem, status=status, retry_after_s=retry_after_s)
