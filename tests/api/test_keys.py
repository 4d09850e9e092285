"""API keys: who may ask, who may change models, and that no key is ever shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from intbert.api.keys import Keys, access_of, is_loopback, load_keys
from intbert.config import Settings
from intbert.errors import ConfigError
from tests.api.conftest import RunningServer, run_server
from tests.api.test_classify import check_problem

ASK, ASK_TOO, CHANGE = "ask-0123456789abcdef", "ask-too-0123456789abcdef", "change-0123456789abcdef"
OPEN = ["/", "/livez", "/readyz", "/startupz", "/metrics", "/openapi.json", "/v2/health/ready"]
ACTIVATE = "/models/tiny/versions/2/activate"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def guarded(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two keys for inference, one from a file, and one for changes."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"# the new one\n{ASK_TOO}\n")
    with run_server(tiny_store, api_keys=ASK, api_keys_file=file, admin_keys=CHANGE) as running:
        yield running


@pytest.fixture
def guest(guarded: RunningServer) -> Iterator[httpx.Client]:
    with guarded.client() as client:
        yield client


@pytest.mark.parametrize("path", OPEN)
def test_probes_metrics_and_the_page_need_no_key(guest: httpx.Client, path: str) -> None:
    """Load balancers, Prometheus and a browser at the front door."""
    assert guest.get(path).status_code == 200


@pytest.mark.parametrize("key", [ASK, ASK_TOO, CHANGE])
def test_each_of_several_keys_opens_inference(guest: httpx.Client, key: str) -> None:
    """So that one can be replaced by another while both are valid."""
    assert guest.post("/classify", json={"inputs": "good"}, headers=bearer(key)).status_code == 200
    assert guest.get("/models", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("path", ["/classify", "/qa", "/compare", "/models/x/versions/1/activate", "/nowhere"])
def test_without_a_valid_key_nothing_is_said(guest: httpx.Client, path: str) -> None:
    """401 with a challenge, before the body is looked at; also for what does not exist."""
    missing = check_problem(guest.post(path, content=b"no json"), 401, "key_missing")
    assert "Bearer" in missing["detail"]
    for headers in (bearer("wrong-0123456789abcdef"), {"authorization": ASK}, {"authorization": f"Basic {ASK}"}):
        response = guest.post(path, json={"inputs": "good"}, headers=headers)
        check_problem(response, 401, "key_invalid")
        assert response.headers["www-authenticate"] == "Bearer"


def test_an_inference_key_changes_no_model(guest: httpx.Client) -> None:
    """403: the key is known and not enough."""
    check_problem(guest.post(ACTIVATE, headers=bearer(ASK)), 403, "admin_key_required")


def test_adapters_refuse_in_their_own_shape(guest: httpx.Client) -> None:
    """Their clients would not read a problem document."""
    response = guest.post("/predict", json={"inputs": "good"})
    assert response.status_code == 401
    assert set(response.json()) == {"error", "error_type"}


def test_refusals_are_counted(guarded: RunningServer, guest: httpx.Client) -> None:
    """As requests of nobody, with their status."""
    labels = {"code": "401", "endpoint": "/classify", "model": "", "variant": "", "version": ""}
    key = ("intbert_requests_total", tuple(sorted(labels.items())))
    before = guarded.series()[key]
    guest.post("/classify", json={"inputs": "good"})
    assert guarded.series()[key] == before + 1


def test_no_key_is_logged(guarded: RunningServer, guest: httpx.Client) -> None:
    """Neither a valid one nor one that somebody tried."""
    tried = "tried-0123456789abcdef"
    for key in (ASK, tried):
        guest.post("/classify", json={"inputs": "good"}, headers=bearer(key) | {"x-request-id": "last"})
    guest.get("/models", headers=bearer(ASK))
    text = json.dumps(guarded.log)
    assert "classify" in text
    assert not [key for key in (ASK, ASK_TOO, CHANGE, tried) if key in text]


def test_an_open_address_is_warned_about(tiny_store: Path) -> None:
    """Only where others can reach it: the fixtures of these tests listen on loopback."""
    with run_server(tiny_store, host="0.0.0.0", shadow_rate=0) as running:
        warning = running.wait_for("anyone who reaches this address may use it: no API key is set")
        assert "INTBERT_API_KEYS" in warning["advice"]
        port = httpx.URL(running.url).port
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert client.post("/classify", json={"inputs": "good"}).status_code == 200
            check_problem(client.post(ACTIVATE), 403, "admin_disabled")


def test_everything_that_is_not_known_to_be_open_is_closed() -> None:
    """A route that somebody adds needs a key until it is listed; so does another spelling of an open one."""
    assert {access_of("GET", path) for path in OPEN} == {"open"}
    closed = ["/models", "/models/x/report", "/new", "//", "/metrics/", "/Livez", "/assets"]
    assert {access_of("GET", path) for path in closed} == {"inference"}
    assert {access_of("POST", path) for path in OPEN} == {"inference"}
    assert {access_of(method, ACTIVATE) for method in ("POST", "PUT", "DELETE", "PATCH")} == {"admin"}


@pytest.mark.parametrize(
    ("keys", "access", "code"),
    [
        (Keys(), "inference", None),
        (Keys(), "admin", None),
        (Keys(local=False), "inference", None),
        (Keys(local=False), "admin", "admin_disabled"),
        (Keys(inference=(b"x" * 32,)), "admin", "admin_disabled"),
        (Keys(inference=(b"x" * 32,)), "inference", "key_missing"),
        (Keys(admin=(b"x" * 32,)), "inference", None),
        (Keys(admin=(b"x" * 32,)), "admin", "key_missing"),
    ],
)
def test_what_is_open_without_a_key(keys: Keys, access: str, code: str | None) -> None:
    """Everything on loopback without keys; changes from elsewhere only with an admin key."""
    refusal = keys.refusal(access, None)  # type: ignore[arg-type]
    assert (refusal.code if refusal else None) == code


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"api_keys": SecretStr("short")}, "key 1 of INTBERT_API_KEYS"),
        ({"admin_keys": SecretStr(f"{CHANGE},schlüssel-0123456789")}, "key 2 of INTBERT_ADMIN_KEYS"),
        ({"api_keys_file": Path("/does/not/exist")}, "INTBERT_API_KEYS_FILE"),
        ({"admin_keys_file": Path("/dev/null")}, "holds no key"),
        ({"api_keys": SecretStr(",")}, "INTBERT_API_KEYS holds no key"),
        ({"admin_keys": SecretStr("  ")}, "INTBERT_ADMIN_KEYS holds no key"),
    ],
)
def test_keys_that_cannot_work_are_refused_at_start(given: dict[str, SecretStr], text: str) -> None:
    """With the place, and without the key."""
    with pytest.raises(ConfigError, match=text) as caught:
        load_keys(Settings(**given))  # type: ignore[arg-type]
    assert "short" not in caught.value.message
    assert "schl" not in caught.value.message


def test_settings_do_not_show_keys() -> None:
    """Printed settings end in logs and bug reports."""
    assert ASK not in repr(Settings(api_keys=SecretStr(ASK))) + str(Settings(api_keys=SecretStr(ASK)).model_dump())


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("box", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    """Any name but localhost may be reachable from elsewhere."""
    assert is_loopback(host) == local
