"""Settings: the only reader of the environment and of the configuration file.

Every field is the variable `INTBERT_<FIELD>` and the key `<field>` of the file. A command-line option wins over the
variable, the variable over the file. Anything that cannot work is refused here with the reason, so that it is never
found out by a hanging request.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from intbert.errors import ConfigError

PREFIX = "INTBERT_"
CACHE_BYTES_MIN = 65536

# Their values are repeated nowhere, not even when they are wrong.
_SECRETS = frozenset({"api_keys", "admin_keys"})

# Kubernetes sets these for every service called "intbert"; they are not ours.
_SERVICE_LINKS = re.compile(r"INTBERT_(SERVICE_|PORT_\d)")


class Settings(BaseSettings):
    """All settings of the service and the commands; the descriptions are what `intbert serve --help` says."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    config: Path | None = Field(default=None, description="TOML file of settings; variables and options win over it.")
    store: Path = Field(default=Path("model_store"), description="Directory of the model packages.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    kernels: str | None = Field(default=None, description="Force a kernel set by name; unset: the fastest here.")
    threads: int = Field(
        default=0, ge=0, le=1024, description="Cores to compute on; 0: what CPU quota and affinity allow."
    )
    workers: int = Field(default=0, ge=0, le=1024, description="Batches computed at the same time; 0: one a thread.")
    classify_model: str | None = Field(
        default=None, description="Classifier of requests that name none; unset: the only one in the store."
    )
    qa_model: str | None = Field(
        default=None, description="Question model of requests that name none; unset: the only one in the store."
    )
    queue_tokens: int = Field(default=65536, ge=1, description="Tokens that may wait; more is refused with 429.")
    batch_tokens: int = Field(default=2048, ge=1, description="Tokens of one batch at most.")
    cache_bytes: int = Field(default=0, ge=0, description="Bytes of remembered logits; 0: none are remembered.")
    shadow_rate: float = Field(
        default=0.0, ge=0, le=1, description="Share (0 to 1) of integer answers that FP32 computes too, afterwards."
    )
    max_requests: int = Field(default=1024, ge=1, description="Requests answered at a time; more is 429.")
    max_inputs: int = Field(default=256, ge=1, description="Inputs of one request.")
    max_body_bytes: int = Field(default=4 * 2**20, ge=1024, description="Bytes of one request's body.")
    head_timeout_s: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds for a request's first line and headers to arrive."
    )
    request_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds for a body to arrive, and again for the answer."
    )
    drain_notice_s: float = Field(
        default=0.5, ge=0, le=300, description="Seconds from SIGTERM (not ready) to the end of new connections."
    )
    drain_timeout_s: float = Field(
        default=20.0, gt=0, le=3600, description="Seconds for what was admitted to be answered at the end."
    )
    keep_alive_s: int = Field(default=75, ge=1, le=3600, description="Seconds until an idle connection is closed.")
    api_keys: SecretStr = Field(
        default=SecretStr(""), description="Keys for inference, separated by commas; unset: no key is needed."
    )
    api_keys_file: Path | None = Field(default=None, description="File of more keys for inference, one a line.")
    admin_keys: SecretStr = Field(
        default=SecretStr(""), description="Keys for changing models, separated by commas; they open inference too."
    )
    admin_keys_file: Path | None = Field(default=None, description="File of more keys for changes, one a line.")
    traces_endpoint: str | None = Field(
        default=None, description="Collector of traces (OTLP over HTTP), like http://localhost:4318; unset: off."
    )
    log_format: Literal["json", "console"] = Field(
        default="console", description="json (one document a line) or console, on stderr."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error; probes are logged at debug."
    )

    @field_validator("port", mode="before")
    @classmethod
    def _port_is_no_service_link(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError(
                "looks like the address that Kubernetes sets for a service called 'intbert'; "
                "give INTBERT_PORT a number in the pod, or set enableServiceLinks: false"
            )
        return value

    @field_validator(
        *("kernels", "classify_model", "qa_model", "api_keys_file", "admin_keys_file", "traces_endpoint"), mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("traces_endpoint")
    @classmethod
    def _endpoint_is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]+(/\S*)?$", value):
            raise ValueError("is no address of a collector (OTLP over HTTP); give one like http://localhost:4318")
        return value

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.batch_tokens > self.queue_tokens:
            raise ValueError(
                f"batch_tokens ({self.batch_tokens}) is larger than queue_tokens ({self.queue_tokens}): a full batch "
                "could never be admitted; raise INTBERT_QUEUE_TOKENS or lower INTBERT_BATCH_TOKENS"
            )
        if 0 < self.cache_bytes < CACHE_BYTES_MIN:
            raise ValueError(
                f"cache_bytes ({self.cache_bytes}) is too little to remember anything; give INTBERT_CACHE_BYTES 0, or "
                f"at least {CACHE_BYTES_MIN}"
            )
        if self.workers and self.threads and self.workers > self.threads:
            raise ValueError(
                f"workers ({self.workers}) is larger than threads ({self.threads}): every worker computes on at least "
                "one thread; raise INTBERT_THREADS or lower INTBERT_WORKERS"
            )
        if self.drain_notice_s >= self.drain_timeout_s:
            raise ValueError(
                f"drain_notice_s ({self.drain_notice_s}) leaves nothing of drain_timeout_s ({self.drain_timeout_s}) "
                "to finish requests in; lower INTBERT_DRAIN_NOTICE_S or raise INTBERT_DRAIN_TIMEOUT_S"
            )
        return self


def load_settings(**overrides: Any) -> Settings:
    """Settings: `overrides` that are not None win over the environment, it over the file, it over the defaults.

    The file is `config` of the overrides or INTBERT_CONFIG. An empty variable is as none. Raises ConfigError.
    """
    _refuse_unknown(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    set_variables = {name.upper() for name, value in os.environ.items() if value}
    file = given.get("config") or os.environ.get(f"{PREFIX}CONFIG") or None
    settled = given.keys() | {name for name in Settings.model_fields if variable(name) in set_variables}
    filed = {} if file is None else {name: value for name, value in _read(Path(file)).items() if name not in settled}
    try:
        return Settings(**filed, **given)
    except ValidationError as error:
        reasons = [_explain(item, file=file if _names(item, filed) else None) for item in error.errors()]
        raise ConfigError("; ".join(reasons)) from None


def variable(name: str) -> str:
    """Of a setting."""
    return PREFIX + name.upper()


def variables() -> list[str]:
    """Names of all variables, in the order of the fields."""
    return [variable(name) for name in Settings.model_fields]


def explained(name: str) -> str:
    """What a setting means, with its unit and its default, in a line."""
    field = Settings.model_fields[name]
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return f"{field.description} [default: {'unset' if default in (None, '') else default}]"


def _read(file: Path) -> dict[str, Any]:
    """The file's settings; whether their values fit is checked with all others."""
    try:
        known = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the settings in {file}: {getattr(error, 'strerror', '') or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is no TOML file: {error}") from None
    for name, value in known.items():
        if name not in Settings.model_fields or name == "config":
            shown = "" if "key" in name or not isinstance(value, str | int | float) else f" = {value!r}"
            fields = ", ".join(field for field in Settings.model_fields if field != "config")
            raise ConfigError(f"{file}: {name}{shown} is not a setting of intbert; known: {fields}")
        if isinstance(value, bool):  # it would pass for the number 0 or 1
            raise ConfigError(f"{file}: {name} is {str(value).lower()}: no setting is true or false")
    return known


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise silently leave the default in place."""
    known = variables()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINKS.match(name):
            raise ConfigError(f"{name} is not a setting of intbert; known: {', '.join(sorted(known))}")


def _names(item: Any, filed: Mapping[str, Any]) -> bool:
    """Whether an error is about what the file says; one of several settings together is, if it says anything."""
    return bool(filed) if not item["loc"] else item["loc"][0] in filed


def _explain(item: Any, *, file: str | Path | None) -> str:
    reason = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return reason if file is None else f"{reason} (settings from {file} and around it)"
    name = str(item["loc"][0])
    place = f"{variable(name)} (setting {name!r})" if file is None else f"{file}: {name}"
    return f"{place}: {reason}" if name in _SECRETS else f"{place} is {item['input']!r}: {reason}"
