"""Web pages that would change this server behind their reader's back. Programs send no `Origin`: they may."""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import Scope

from intbert.api.errors import HttpError


def cross_site_refusal(scope: Scope, *, keyed: bool) -> HttpError | None:
    """Why a browser's request must not change anything; None when it may. `keyed`: it had to bring an admin key.

    A browser names the page that sends a request in `Origin`. Any page can send one to a server on its reader's own
    machine, where no key may be needed. A page whose name was made to point here (DNS rebinding) even is of the
    same site, so without a key the name has to be one that nobody else can have.
    """
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
    hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
    for origin in origins:
        address = _address(origin)
        if address is None or [address] != hosts:
            return _refusal(f"a page of {origin[:80]!r} may not change this server")
        if not keyed and not _is_nobodys(origin):
            return _refusal(f"without an admin key only pages of localhost or an IP address may, not {origin[:80]!r}")
    return None


def _address(origin: str) -> str | None:
    """Host and port, as the header Host has them; None for an opaque origin such as `null`."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_nobodys(origin: str) -> bool:
    """`localhost` or an IP address: no name that somebody could point at this machine."""
    name = urlsplit(origin).hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def _refusal(reason: str) -> HttpError:
    return HttpError(403, "cross_site", f"{reason}; send the request from a program, without the header Origin")
