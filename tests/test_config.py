"""Settings: defaults, environment, options, and refusals that say why."""

from pathlib import Path

import pytest

from intbert.config import Settings, explained, load_settings
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


def test_file_stands_between_environment_and_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options over variables over the file over defaults, each key by itself; named by option or by variable."""
    file = tmp_path / "intbert.toml"
    file.write_text('port = 9001\nhost = "::1"\nqueue_tokens = 4096\nstore = "elsewhere"\nshadow_rate = 0.5\n')
    monkeypatch.setenv("INTBERT_HOST", "10.1.2.3")
    monkeypatch.setenv("INTBERT_QUEUE_TOKENS", "8192")
    monkeypatch.setenv("INTBERT_STORE", "")
    settings = load_settings(config=file, queue_tokens=16384)
    assert (settings.port, settings.host, settings.queue_tokens) == (9001, "10.1.2.3", 16384)
    assert (settings.store, settings.shadow_rate, settings.max_inputs) == (Path("elsewhere"), 0.5, 256)
    monkeypatch.setenv("INTBERT_CONFIG", str(file))
    assert load_settings().port == 9001


def test_an_empty_variable_does_not_switch_the_files_keys_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files hand on variables that nobody set as empty ones."""
    file = tmp_path / "intbert.toml"
    file.write_text('api_keys = "ask-0123456789abcdef"\n')
    monkeypatch.setenv("INTBERT_API_KEYS", "")
    assert load_settings(config=file).api_keys.get_secret_value() == "ask-0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("ports = 9000", ["ports = 9000", "known: store, host, port"]),
        ("[server]\nport = 9000", ["server is not a setting"]),
        ('port = "eighty"', ["port is 'eighty'"]),
        ("port = 70000", ["port is 70000"]),
        ("threads = true", ["threads is true"]),
        ("kernels = 3", ["kernels is 3"]),
        ("config = 'other.toml'", ["config = 'other.toml'"]),
        ("port = ", ["no TOML file", "Invalid value"]),
        ("batch_tokens = 100000", ["batch_tokens (100000)", "INTBERT_BATCH_TOKENS"]),
    ],
)
def test_what_is_wrong_in_the_file(tmp_path: Path, content: str, words: list[str]) -> None:
    """The message names the file, the key and the value."""
    file = tmp_path / "intbert.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(config=file)
    for word in [str(file), *words]:
        assert word in caught.value.message


@pytest.mark.parametrize("content", ['api_key = "secret"', 'api_keys = ["secret"]', '[keys]\napi_keys = "secret"'])
def test_a_wrong_file_shows_no_keys(tmp_path: Path, content: str) -> None:
    """Neither in a setting of that name nor in one that was meant to be it."""
    file = tmp_path / "intbert.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(config=file)
    assert "secret" not in caught.value.message


def test_a_missing_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names one wants it read."""
    monkeypatch.setenv("INTBERT_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match="missing.toml"):
        load_settings()


def test_every_setting_is_explained() -> None:
    """With its default; what counts seconds, bytes or tokens says so."""
    for name, field in Settings.model_fields.items():
        line = explained(name)
        assert field.description, name
        assert "[default: " in line, name
        if name.endswith("_s"):
            assert "Seconds" in line, name
        for unit in ("bytes", "tokens"):
            assert unit not in name or unit.capitalize() in line, name
