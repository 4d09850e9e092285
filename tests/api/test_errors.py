"""The one table from errors to statuses."""

import json

import pytest

from intbert import errors
from intbert.api.errors import HttpError, judge, problem
from intbert.telemetry.metrics import FAILURE_REASONS, RESOLVED_CODES, UNRESOLVED_CODES

CASES: list[tuple[Exception, int, str]] = [
    (errors.InputError("x"), 422, "invalid"),
    (errors.InputError.empty_text(), 422, "invalid"),
    (errors.InputError.too_long(tokens=600, limit_tokens=512), 422, "too_long"),
    (errors.InputError.too_many(what="inputs", count=9, limit=8), 413, "invalid"),
    (errors.InputError.wrong_task(model="m", task="qa", wanted="classification"), 422, "invalid"),
    (errors.InputError.no_digest(model="m", variant="fp32"), 422, "invalid"),
    (errors.NotFoundError.of("model", "m", []), 404, "invalid"),
    (errors.OverloadedError("x", retry_after_ms=1500), 429, "overloaded"),
    (errors.DeadlineError("x"), 504, "deadline"),
    (errors.CancelledError("x"), 499, "cancelled"),
    (errors.UnavailableError("x"), 503, "unavailable"),
    (errors.HashMismatchError("x"), 503, "unavailable"),
    (errors.SelfTestError("x"), 503, "unavailable"),
    (errors.KernelError("x"), 503, "unavailable"),
    (errors.ConfigError("x"), 503, "unavailable"),
    (errors.EngineError("x"), 500, "internal"),
    (errors.IntbertError("x"), 500, "internal"),
    (ValueError("x"), 500, "internal"),
    (HttpError(400, "malformed_json", "x"), 400, "invalid"),
]


@pytest.mark.parametrize(("error", "status", "reason"), CASES, ids=lambda case: type(case).__name__)
def test_table(error: Exception, status: int, reason: str) -> None:
    """Status and reason of every class; a fault of the server is never a 4xx."""
    verdict = judge(error)
    assert (verdict.status, verdict.reason) == (status, reason)
    assert reason in FAILURE_REASONS


def test_every_class_of_the_tree_has_a_row() -> None:
    """A new error class must not fall through to 500 unnoticed."""
    tree = {error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)}
    tree -= {errors.IntbertError, errors.EngineError}
    arguments = {errors.OverloadedError: {"retry_after_ms": 1}}
    for kind in tree:
        assert judge(kind("x", **arguments.get(kind, {}))).status != 500, kind


@pytest.mark.parametrize(("error", "status", "reason"), CASES, ids=lambda case: type(case).__name__)
def test_every_status_has_its_series_from_the_start(error: Exception, status: int, reason: str) -> None:
    """Alerts on a code must find it at zero."""
    assert str(status) in set(UNRESOLVED_CODES) | set(RESOLVED_CODES)


def test_problem_document() -> None:
    """RFC 9457 members, our code, the figures, the id."""
    response = problem(errors.InputError.too_long(tokens=600, limit_tokens=512), request_id="abc")
    body = json.loads(bytes(response.body))
    assert response.media_type == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (422, 422, "too_long")
    assert (body["tokens"], body["limit"], body["request_id"]) == (600, 512, "abc")
    assert body["type"] == "about:blank"
    assert body["title"]


def test_retry_after_is_rounded_up() -> None:
    """Whole seconds in the header, never before the time; milliseconds in the body."""
    response = problem(errors.OverloadedError("full", retry_after_ms=1001), request_id="abc")
    assert response.headers["retry-after"] == "2"
    assert json.loads(bytes(response.body))["retry_after_ms"] == 1001


def test_details_cannot_overwrite_the_documents_own_members() -> None:
    """An error's detail named status stays out of the way of the status."""
    response = problem(errors.InputError("x", details={"status": "odd", "code": "odd"}), request_id="abc")
    body = json.loads(bytes(response.body))
    assert (body["status"], body["code"]) == (422, "invalid_input")


def test_a_fault_says_nothing_about_the_inside() -> None:
    """Messages of unexpected exceptions may hold anything: they go into the log alone."""
    response = problem(ValueError("secret path"), request_id="abc")
    assert response.status_code == 500
    assert b"secret" not in response.body
