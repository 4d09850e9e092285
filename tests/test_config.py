"""Settings: defaults, environment, options, and refusals that say why."""

from pathlib import Path

import pytest

from intbert.config import load_settings
from intbert.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("INTBERT_")]:
        monkeypatch.delenv(name)


def test_defaults_are_local_and_small() -> None:
    """Without any setting the service listens on loopback only and reads ./model_store."""
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.store == Path("model_store")
    assert settings.kernels is None


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field is INTBERT_<FIELD>."""
    monkeypatch.setenv("INTBERT_STORE", "elsewhere")
    monkeypatch.setenv("INTBERT_KERNELS", "portable")
    monkeypatch.setenv("INTBERT_QUEUE_TOKENS", "4096")
    settings = load_settings()
    assert (settings.store, settings.kernels, settings.queue_tokens) == (Path("elsewhere"), "portable", 4096)


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that was given wins; one that was not (None) leaves the variable in force."""
    monkeypatch.setenv("INTBERT_PORT", "9000")
    monkeypatch.setenv("INTBERT_HOST", "::1")
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "::1")


def test_empty_kernels_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable, as compose files write it, is no name of a kernel set."""
    monkeypatch.setenv("INTBERT_KERNELS", "")
    assert load_settings().kernels is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"batch_tokens": 5000, "queue_tokens": 1000}, ["batch_tokens (5000)", "queue_tokens (1000)"]),
        ({"workers": 8, "threads": 2}, ["workers (8)", "threads (2)"]),
        ({"drain_notice_s": 30.0, "drain_timeout_s": 10.0}, ["drain_notice_s (30.0)", "drain_timeout_s (10.0)"]),
        ({"cache_bytes": 100}, ["cache_bytes (100)", "INTBERT_CACHE_BYTES"]),
        ({"shadow_rate": 1.5}, ["INTBERT_SHADOW_RATE", "1.5"]),
        ({"port": 70000}, ["INTBERT_PORT", "70000"]),
        ({"threads": -1}, ["INTBERT_THREADS", "-1"]),
        ({"log_level": "loud"}, ["INTBERT_LOG_LEVEL", "'loud'"]),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(overrides: dict[str, object], words: list[str]) -> None:
    """The message names the setting and the value."""
    with pytest.raises(ConfigError) as caught:
        load_settings(**overrides)
    for word in words:
        assert word in caught.value.message


def test_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo must not silently leave the default in place; the message lists what there is."""
    monkeypatch.setenv("INTBERT_KERNEL", "portable")
    with pytest.raises(ConfigError, match="INTBERT_KERNEL is not a setting.*INTBERT_KERNELS"):
        load_settings()


def test_kubernetes_service_links_are_tolerated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service called intbert sets INTBERT_SERVICE_HOST and friends in every pod; they are not ours."""
    monkeypatch.setenv("INTBERT_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("INTBERT_PORT_8000_TCP", "tcp://10.0.0.1:8000")
    assert load_settings().port == 8000


def test_kubernetes_port_link_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """INTBERT_PORT=tcp://... comes from Kubernetes: the message says so and what to do."""
    monkeypatch.setenv("INTBERT_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(ConfigError, match="enableServiceLinks"):
        load_settings()


def test_settings_are_frozen() -> None:
    """Nobody changes settings after the start."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1
