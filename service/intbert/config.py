"""Settings: the only reader of the environment.

Every field is the variable `INTBERT_<FIELD>`; a command-line option wins over the variable. Anything that cannot work
is refused here with the reason, so that it is never found out by a hanging request.
"""

import os
import re
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
    """All settings of the service and the commands. Times in seconds, 0 threads or workers: choose from the machine."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    store: Path = Path("model_store")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    kernels: str | None = None
    threads: int = Field(default=0, ge=0, le=1024)
    workers: int = Field(default=0, ge=0, le=1024)
    classify_model: str | None = None
    qa_model: str | None = None
    queue_tokens: int = Field(default=65536, ge=1)
    batch_tokens: int = Field(default=2048, ge=1)
    cache_bytes: int = Field(default=0, ge=0)
    shadow_rate: float = Field(default=0.0, ge=0, le=1)
    max_requests: int = Field(default=1024, ge=1)
    max_inputs: int = Field(default=256, ge=1)
    max_body_bytes: int = Field(default=4 * 2**20, ge=1024)
    request_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    drain_notice_s: float = Field(default=0.5, ge=0, le=300)
    drain_timeout_s: float = Field(default=20.0, gt=0, le=3600)
    keep_alive_s: int = Field(default=75, ge=1, le=3600)
    api_keys: SecretStr = SecretStr("")
    api_keys_file: Path | None = None
    admin_keys: SecretStr = SecretStr("")
    admin_keys_file: Path | None = None
    traces_endpoint: str | None = None
    log_format: Literal["json", "console"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

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
    """Settings from the environment; `overrides` that are not None win. Raises ConfigError."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(item) for item in error.errors(include_url=False))) from None


def variables() -> list[str]:
    """Names of all variables, in the order of the fields."""
    return [PREFIX + name.upper() for name in Settings.model_fields]


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise silently leave the default in place."""
    known = variables()
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINKS.match(name):
            raise ConfigError(f"{name} is not a setting of intbert; known: {', '.join(sorted(known))}")


def _explain(item: Any) -> str:
    reason = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return reason
    name = str(item["loc"][0])
    if name in _SECRETS:
        return f"{PREFIX}{name.upper()} (setting {name!r}): {reason}"
    return f"{PREFIX}{name.upper()} (setting {name!r}) is {item['input']!r}: {reason}"
