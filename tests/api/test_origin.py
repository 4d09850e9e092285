"""Web pages of other sites change nothing here."""

from pathlib import Path

import httpx
import pytest

from intbert.api.origin import cross_site_refusal
from tests.api.conftest import RunningServer, run_server
from tests.api.test_classify import check_problem
from tests.api.test_keys import ACTIVATE, CHANGE, bearer

HERE = "localhost:8000"


@pytest.mark.parametrize(
    ("origin", "host", "keyed", "allowed"),
    [
        (None, HERE, False, True),
        ("http://localhost:8000", HERE, False, True),
        ("http://LOCALHOST:8000", "LocalHost:8000", False, True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", False, True),
        ("http://[::1]:8000", "[::1]:8000", False, True),
        ("http://localhost:3000", HERE, False, False),
        ("https://evil.example", HERE, False, False),
        ("https://evil.example", HERE, True, False),
        ("null", HERE, True, False),
        ("", HERE, True, False),
        ("http://[evil", HERE, True, False),
        ("http://rebound.example:8000", "rebound.example:8000", False, False),
        ("https://models.example", "models.example", True, True),
        ("http://localhost:8000", None, False, False),
    ],
)
def test_who_may_change_something(origin: str | None, host: str | None, keyed: bool, allowed: bool) -> None:
    """Programs, and pages of this server; without a key only under a name that nobody else can have."""
    sent = [(b"host", host), (b"origin", origin)]
    headers = [(name, value.encode()) for name, value in sent if value is not None]
    refusal = cross_site_refusal({"headers": headers}, keyed=keyed)
    assert (refusal is None) == allowed
    assert refusal is None or (refusal.status, refusal.code) == (403, "cross_site")


def test_two_origins_are_none_that_is_allowed() -> None:
    """A second header does not cover up the first."""
    headers = [(b"host", HERE.encode()), (b"origin", b"https://evil.example"), (b"origin", b"http://localhost:8000")]
    assert cross_site_refusal({"headers": headers}, keyed=True) is not None


def test_every_changing_route_refuses_pages_of_others(server: RunningServer, client: httpx.Client) -> None:
    """On the wire, whatever the method; asking stays possible from anywhere."""
    for method in ("POST", "PUT", "DELETE"):
        response = client.request(method, ACTIVATE, headers={"origin": "https://evil.example"})
        check_problem(response, 403, "cross_site")
    headers = {"origin": "https://evil.example"}
    assert client.post("/classify", json={"inputs": "good"}, headers=headers).status_code == 200
    assert client.get("/models", headers=headers).status_code == 200


def test_a_key_does_not_help_a_page_of_others(tiny_store: Path) -> None:
    """Nor does the right host without one: first the key, then the page."""
    with run_server(tiny_store, admin_keys=CHANGE) as running, running.client() as client:
        evil = {"origin": "https://evil.example"}
        check_problem(client.post(ACTIVATE, headers=evil), 401, "key_missing")
        check_problem(client.post(ACTIVATE, headers=evil | bearer(CHANGE)), 403, "cross_site")
        own = {"origin": running.url} | bearer(CHANGE)
        assert client.post(ACTIVATE, headers=own).status_code == 200
