"""When the client asks again, and when it does not."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intbert.client import (
    AnswerError,
    Client,
    ConnectionFailedError,
    DeadlineError,
    OverloadedError,
    RequestError,
    RetryPolicy,
    ServerFaultError,
    UnauthorizedError,
    UnavailableError,
)
from intbert.client.errors import api_error
from intbert.client.retry import pause_s, retry_after_s
from tests.client.conftest import Scripted, problem, scripted

QUICK = RetryPolicy(attempts=4, budget_s=1.0, first_s=0.001, longest_s=0.01)
GOOD = Scripted(status=200, body=b'{"models": []}')

POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 20),
    budget_s=st.floats(0, 100),
    first_s=st.floats(0.001, 1),
    longest_s=st.floats(1, 10),
)


@given(POLICIES, st.lists(st.none() | st.floats(0, 30), max_size=30), st.floats(0, 1, exclude_max=True))
def test_waiting_stays_within_the_budget_and_never_ends_early(
    policy: RetryPolicy, wishes_s: list[float | None], jitter: float
) -> None:
    """Whatever the server asks for: at most `attempts`, at most `budget_s`, and never before the time."""
    waited_s, attempts = 0.0, 0
    for wish_s in wishes_s:
        attempts += 1
        error = api_error({}, status=429, retry_after_s=wish_s)
        pause = pause_s(policy, error, attempts=attempts, waited_s=waited_s, jitter=jitter)
        if pause is None:
            break
        assert pause >= (wish_s or 0.0)
        assert wish_s is not None or pause <= policy.longest_s
        waited_s += pause
    assert attempts <= policy.attempts or not wishes_s
    assert waited_s <= policy.budget_s


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 504])
def test_other_errors_are_not_retried(status: int) -> None:
    """The same request would only fail again, or the time is over."""
    assert pause_s(QUICK, api_error({}, status=status, retry_after_s=None), attempts=1, waited_s=0.0) is None


@pytest.mark.parametrize(
    ("header", "body_ms", "expected_s"),
    [
        ("3", 1500, 1.5),
        ("3", None, 3.0),
        (None, None, None),
        (None, 20, 0.02),
        ("soon", None, None),
        ("3", "x", 3.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", None, 0.0),  # past: at once
    ],
)
def test_the_body_is_more_exact_than_the_header(header: str | None, body_ms: object, expected_s: float | None) -> None:
    """Milliseconds in the problem document, else seconds or a date in the header."""
    assert retry_after_s(header, body_ms) == expected_s


def test_a_date_in_the_header_is_a_time_from_now() -> None:
    """RFC 9110 allows both forms."""
    asked_s = retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=60)), None)
    assert asked_s == pytest.approx(59.5, abs=1.0)


def test_the_wish_of_the_server_is_waited_for() -> None:
    """Two refusals, each with its own time, then the answer."""
    refused = (
        Scripted(status=429, body=problem(429, retry_after_ms=50), headers=(("retry-after", "1"),)),
        Scripted(status=503, body=problem(503, retry_after_ms=30)),
    )
    with scripted([*refused, GOOD]) as stage, Client(stage.url, retry=QUICK) as client:
        begun_s = time.monotonic()
        assert client.models() == ()
        assert 0.08 <= time.monotonic() - begun_s < 1.0
    assert len(stage.seen) == 3


def test_a_wish_over_the_budget_ends_at_once() -> None:
    """Better an error now than one after a pause that was in vain."""
    body = problem(503, code="loading", retry_after_ms=5000)
    with scripted([Scripted(status=503, body=body)]) as stage, Client(stage.url, retry=QUICK) as client:
        with pytest.raises(UnavailableError) as caught:
            client.models()
        assert (caught.value.code, caught.value.retry_after_s) == ("loading", 5.0)
    assert len(stage.seen) == 1


def test_a_lost_connection_is_tried_again() -> None:
    """The routes change nothing: asking twice does no harm."""
    with scripted([Scripted(status=0), GOOD]) as stage, Client(stage.url, retry=QUICK) as client:
        assert client.models() == ()
    with scripted([Scripted(status=0)]) as stage, Client(stage.url, retry=QUICK) as client:
        with pytest.raises(ConnectionFailedError):
            client.models()
        assert len(stage.seen) == QUICK.attempts


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestError),
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (429, OverloadedError),
        (500, ServerFaultError),
        (502, ServerFaultError),
        (504, DeadlineError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", problem(1)])
def test_every_status_has_its_class_whatever_the_body(status: int, kind: type[Exception], body: bytes) -> None:
    """Also when a proxy on the way answered."""
    policy = RetryPolicy(attempts=1)
    with (
        scripted([Scripted(status=status, body=body)]) as stage,
        Client(stage.url, retry=policy) as client,
        pytest.raises(kind, match=str(status)),
    ):
        client.models()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"models": 1}', b'{"models": [{"name": 1}]}'])
def test_another_servers_answer_is_an_error(body: bytes) -> None:
    """Never a half-filled value."""
    with (
        scripted([Scripted(status=200, body=body)]) as stage,
        Client(stage.url, retry=QUICK) as client,
        pytest.raises(AnswerError, match="intbert"),
    ):
        client.models()
    assert len(stage.seen) == 1


def test_the_key_goes_into_its_header_and_nowhere_else() -> None:
    """As a bearer token; a base address may have a path and a slash."""
    with scripted([GOOD]) as stage, Client(f"{stage.url}/behind/", api_key="secret") as client:
        client.models()
        assert "secret" not in repr(client)
    ((path, headers),) = stage.seen
    assert (path, headers["authorization"]) == ("/behind/models", "Bearer secret")


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"budget_s": -1}, {"first_s": 0}, {"first_s": 9, "longest_s": 1}])
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    """When they are made, not at the first failure."""
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]
