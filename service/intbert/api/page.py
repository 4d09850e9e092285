"""The page at `/` and its assets, from the package's own files. Nothing of it comes from, or goes to, another place."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from intbert.api import operations
from intbert.api.errors import HttpError

INDEX = "index.html"
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
)
# Scripts and styles only from files, requests only to this server, no markup from text, nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str
    etag: str


class Page:
    """All assets in memory, read once; a name that is not among them is not found, whatever it spells."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = dict(assets)

    @staticmethod
    def load() -> "Page":
        """The files of the installed package."""
        folder = files("intbert.api") / "assets"
        return Page({entry.name: _asset(entry.name, entry.read_bytes()) for entry in folder.iterdir()})

    def index(self, request: Request) -> Response:
        """The page itself."""
        return self.asset(request, INDEX)

    def asset(self, request: Request, name: str) -> Response:
        """The asset, or 304 when the browser has it. Raises HttpError 404."""
        asset = self._assets.get(name)
        if asset is None:
            raise HttpError(404, "route_not_found", f"the page has no asset {name[:80]!r}")
        headers = {
            "cache-control": "no-cache",  # asked for again each time, so that a new version is seen at once
            "content-security-policy": POLICY,
            "etag": asset.etag,
            "referrer-policy": "no-referrer",
            "vary": "accept",
            "x-content-type-options": "nosniff",
        }
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(asset.body, headers=headers | {"content-type": asset.media_type})


def add_page(app: FastAPI) -> None:
    """`/` and what the page loads. Programs get JSON at `/`: only a browser asks for HTML."""
    page = Page.load()
    answer: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}, "application/json": {}}}}

    @app.get("/", summary="A page to try the models; JSON for programs", response_class=Response, responses=answer)
    async def get_front_door(request: Request) -> Response:
        return page.index(request) if prefers_html(request) else operations.front_door(app.version)

    @app.get("/assets/{name}", include_in_schema=False)
    async def get_asset(request: Request, name: str) -> Response:
        return page.asset(request, name)


def prefers_html(request: Request) -> bool:
    """Whether a person's browser asks; programs get JSON at the same address."""
    return "text/html" in request.headers.get("accept", "")


def _asset(name: str, body: bytes) -> Asset:
    media_type = MEDIA_TYPES[name.rpartition(".")[2]]
    return Asset(body=body, media_type=media_type, etag=f'"{sha256(body).hexdigest()[:32]}"')
