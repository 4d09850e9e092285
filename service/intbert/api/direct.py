"""The busiest routes, answered before the framework's routing: it costs more than reading and answering a request.

The same handlers are registered with FastAPI too, which describes them in the OpenAPI document and answers every other
method and path.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from intbert.api.adapters.errors import failure
from intbert.errors import IntbertError

Handler = Callable[[Request], Awaitable[Response]]


class DirectRoutes:
    """Pure ASGI. POST at exactly one of the paths of `handlers` goes to its handler, everything else to `app`.

    HEAD is answered as GET is: the server sends no body then.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[str, Handler]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = None
        if scope["type"] == "http" and scope["method"] == "POST":
            handler = self._handlers.get(scope["path"])
        if handler is None:
            if scope["type"] == "http" and scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(Request(scope, receive))
        except IntbertError as error:
            exchange = scope["state"]["exchange"]
            exchange.error = error
            response = failure(error, path=scope["path"], request_id=exchange.request_id)
        await response(scope, receive, send)
