"""API keys: who may ask, and who may change what is served. Off until a key is configured.

Keys are kept as digests and compared in constant time, all of them every time; neither they nor their number is ever
logged. Several are valid at once, so that a key can be replaced without a moment in which clients are refused.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from intbert.api.adapters.errors import failure
from intbert.api.errors import HttpError
from intbert.api.origin import cross_site_refusal
from intbert.config import Settings
from intbert.errors import ConfigError

KEY_CHARACTERS_MIN = 16
OPEN_PATHS = frozenset(
    {
        *("/", "/openapi.json", "/metrics", "/livez", "/readyz", "/startupz"),
        *("/v2/health/live", "/v2/health/ready"),
    }
)
OPEN_FOLDER = "/assets/"  # the page's files
ADMIN_FOLDER = "/models/"  # reading it is for everybody who may ask, writing is not
CHALLENGE = {"www-authenticate": "Bearer"}

Access = Literal["open", "inference", "admin"]


def access_of(method: str, path: str) -> Access:
    """What a request needs. Whatever is not known to be open needs a key, so a new route is closed at first."""
    reads = method in ("GET", "HEAD", "OPTIONS")
    if reads and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER)):
        return "open"
    return "admin" if path.startswith(ADMIN_FOLDER) and not reads else "inference"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """SHA-256 digests of the valid keys. `local`: only this machine can reach the server."""

    inference: tuple[bytes, ...] = ()
    admin: tuple[bytes, ...] = ()
    local: bool = True

    def refusal(self, access: Access, authorization: bytes | None) -> HttpError | None:
        """None when the request may go on; `authorization` is the header's value. An admin key opens everything."""
        if access == "open" or (access == "inference" and not self.inference):
            return None
        if access == "admin" and not self.admin:
            return None if self.local and not self.inference else _admin_disabled()
        if authorization is None:
            return _unauthorised("key_missing", "this server wants a key: send 'authorization: Bearer KEY'")
        key = _bearer(authorization)
        may_administer, may_ask = _is_among(key, self.admin), _is_among(key, self.inference)
        if may_administer or (may_ask and access == "inference"):
            return None
        if may_ask:
            return HttpError(403, "admin_key_required", "this key is for inference; changing models wants an admin key")
        return _unauthorised("key_invalid", "the key is not valid here")


class KeysMiddleware:
    """Pure ASGI, inside of the exchange: refusals are logged and counted like any other, before a body is read."""

    def __init__(self, app: ASGIApp, *, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http":
            access = access_of(scope["method"], scope["path"])
            refusal = self._keys.refusal(access, _authorization(scope))
            if refusal is None and access == "admin":
                refusal = cross_site_refusal(scope, keyed=bool(self._keys.admin))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        exchange = scope["state"]["exchange"]
        exchange.error = refusal
        await failure(refusal, path=scope["path"], request_id=exchange.request_id)(scope, receive, send)


def load_keys(settings: Settings) -> Keys:
    """From variables and files together. ConfigError for a key that is too weak, without repeating it."""
    return Keys(
        inference=_digests(settings.api_keys, settings.api_keys_file, "API_KEYS"),
        admin=_digests(settings.admin_keys, settings.admin_keys_file, "ADMIN_KEYS"),
        local=is_loopback(settings.host),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _digests(given: SecretStr, file: Path | None, name: str) -> tuple[bytes, ...]:
    """Keys are separated by commas, spaces or lines; in a file a line that begins with # is a comment."""
    keys = given.get_secret_value().replace(",", " ").split()
    if given.get_secret_value() and not keys:  # whoever wrote something there wanted keys
        raise ConfigError(f"INTBERT_{name} holds no key, only separators; leave it out to serve without keys")
    if file is not None:
        keys += _keys_in(file, name)
    for number, key in enumerate(keys, 1):
        if len(key) < KEY_CHARACTERS_MIN or not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"key {number} of INTBERT_{name} must have at least {KEY_CHARACTERS_MIN} characters, ASCII only; "
                "make one with: openssl rand -hex 24"
            )
    return tuple(sha256(key.encode()).digest() for key in keys)


def _keys_in(file: Path, name: str) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"can't read the keys of INTBERT_{name}_FILE, {file}: {reason}") from None
    keys = [key for line in lines if not line.lstrip().startswith("#") for key in line.replace(",", " ").split()]
    if not keys:
        raise ConfigError(f"INTBERT_{name}_FILE, {file}, holds no key; leave the variable out to serve without keys")
    return keys


def _is_among(key: bytes, digests: Iterable[bytes]) -> bool:
    """Takes as long for the first as for none."""
    candidate, found = sha256(key).digest(), False
    for digest in digests:
        found |= hmac.compare_digest(candidate, digest)
    return found


def _authorization(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"authorization"), None)


def _bearer(authorization: bytes) -> bytes:
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def _unauthorised(code: str, message: str) -> HttpError:
    return HttpError(401, code, message, headers=CHALLENGE)


def _admin_disabled() -> HttpError:
    message = "changing models is switched off: this server has no admin key; set INTBERT_ADMIN_KEYS and start it again"
    return HttpError(403, "admin_disabled", message)
