"""What happens around every request: its id, its log line, its metrics, and an answer whatever goes wrong."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import getrandbits

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from intbert.api.adapters.errors import failure
from intbert.api.errors import judge
from intbert.api.spans import stages_of
from intbert.errors import EngineError, OverloadedError, UnavailableError
from intbert.runtime.answers import Timings
from intbert.telemetry.metrics import Metrics, Target
from intbert.telemetry.traces import TracedRequest, Traces

BUSY_RETRY_MS_MIN = 50  # what is being answered may not wait for a worker at all, but be read, computed or sent
ROUTINE = frozenset({"/livez", "/readyz", "/startupz", "/metrics", "/v2/health/live", "/v2/health/ready"})
V2_INFER = re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer")
REQUEST_ID = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,128}")


@dataclass(kw_only=True)
class Exchange:
    """One request and its answer, filled in by whoever learns something. Reached through `request.state.exchange`."""

    request_id: str
    target: Target = field(default_factory=Target)
    tokens: int = 0
    timings: list[tuple[str, Timings]] = field(default_factory=list)  # of each variant that answered
    trace_id: str = ""  # empty without traces
    status: int = 0
    error: Exception | None = None


class ExchangeMiddleware:
    """Pure ASGI: no copy of bodies. `draining` says whether connections should be closed after their answer.

    More than `requests_max` inference requests at a time are refused before their bodies are read: memory is bounded.
    `cut_off` counts the requests that the end of the drain left without their own answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        traces: Traces | None,
        logger: FilteringBoundLogger,
        draining: Callable[[], bool],
        requests_max: int,
        retry_ms: Callable[[], int],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces
        self._logger = logger
        self._draining = draining
        self._counted = frozenset(metrics.endpoints)
        self._requests_max = requests_max
        self._retry_ms = retry_ms
        self._inflight = 0  # only the event loop's thread counts
        self.cut_off = 0
        metrics.inflight.set_function(lambda: self._inflight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        exchange = Exchange(request_id=_request_id(scope))
        scope.setdefault("state", {})["exchange"] = exchange
        path = scope["path"]
        endpoint = path if path in self._counted else endpoint_of(path)
        counted = scope["method"] == "POST" and endpoint in self._counted
        if counted:
            self._inflight += 1
        try:
            await self._answer(scope, receive, send, exchange, full=counted and self._inflight > self._requests_max)
        finally:
            duration_s = time.monotonic() - started_s
            if counted:
                self._inflight -= 1
                self._count(endpoint, exchange, duration_s)
                if self._traces is not None:
                    exchange.trace_id = self._traces.add(_traced(scope, exchange, endpoint, started_s=started_s))
            self._log(scope, exchange, duration_s)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange, *, full: bool) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                own = [(b"x-request-id", exchange.request_id.encode())]
                if self._draining() and all(name != b"connection" for name, _ in message["headers"]):
                    own.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *own]
            await send(message)

        if full:
            exchange.error = _too_busy(self._requests_max, max(BUSY_RETRY_MS_MIN, self._retry_ms()))
            await _failure(scope, exchange, exchange.error)(scope, receive, send_marked)
            return
        try:
            await self._app(scope, receive, send_marked)
        except asyncio.CancelledError:  # by the server at the drain's bound; of a client that left it is told apart
            self.cut_off += 1
            exchange.error = _cut_off()
            if exchange.status == 0:
                await _failure(scope, exchange, exchange.error)(scope, receive, send_marked)
        except Exception as error:  # the last resort: the client gets an answer, the log the traceback
            exchange.error = error
            self._logger.error("request failed", request_id=exchange.request_id, exc_info=error)
            if exchange.status == 0:
                await _failure(scope, exchange, error)(scope, receive, send_marked)

    def _count(self, endpoint: str, exchange: Exchange, duration_s: float) -> None:
        if exchange.error is not None:
            self._metrics.request_failed(judge(exchange.error).reason)
        self._metrics.request_finished(
            endpoint=endpoint, target=exchange.target, code=exchange.status or 499, duration_s=duration_s
        )

    def _log(self, scope: Scope, exchange: Exchange, duration_s: float) -> None:
        """One line a request: what, how it ended, how long. No text of the client beyond method, path and id."""
        level = _level(scope, exchange)
        fields = {"method": scope["method"], "path": scope["path"][:200], "status": exchange.status or 499}
        if exchange.target.model:
            fields |= {"model": exchange.target.model, "variant": exchange.target.variant, "tokens": exchange.tokens}
        if exchange.trace_id:
            fields["trace_id"] = exchange.trace_id
        if exchange.error is not None:
            fields["code"] = getattr(exchange.error, "code", "internal")
        if isinstance(exchange.error, EngineError):  # the client is told no more than that
            fields["exc_info"] = exchange.error.__cause__ or exchange.error
        getattr(self._logger, level)("request", request_id=exchange.request_id, duration_ms=duration_s * 1000, **fields)


def endpoint_of(path: str) -> str:
    """The label of a path in the metrics: the path itself, but one for all models of the Open Inference Protocol."""
    return "/v2/infer" if V2_INFER.fullmatch(path) else path


def _traced(scope: Scope, exchange: Exchange, endpoint: str, *, started_s: float) -> TracedRequest:
    target, status = exchange.target, exchange.status or 499
    attributes: dict[str, str | int] = {
        "http.request.method": scope["method"],
        "http.response.status_code": status,
        "http.route": endpoint,
        "url.path": scope["path"][:200],
        "url.scheme": scope["scheme"],
        "intbert.request_id": exchange.request_id,
        "intbert.model": target.model,
        "intbert.version": target.version,
        "intbert.variant": target.variant,
        "intbert.tokens": exchange.tokens,
    }
    if exchange.error is not None:
        attributes["error.type"] = str(getattr(exchange.error, "code", "internal"))
    return TracedRequest(
        name=f"{scope['method']} {endpoint}",
        headers=scope["headers"],
        begun_s=started_s,
        ended_s=time.monotonic(),
        attributes=attributes,
        stages=stages_of(exchange.timings),
        fault=_is_fault(status),
    )


def _is_fault(status: int) -> bool:
    """Ours, and none that passes by itself."""
    return status >= 500 and status != 503


def _failure(scope: Scope, exchange: Exchange, error: Exception) -> Response:
    return failure(error, path=scope["path"], request_id=exchange.request_id)


def _too_busy(requests_max: int, retry_ms: int) -> OverloadedError:
    message = f"{requests_max} requests are being answered, as many as this server takes at a time; try again"
    return OverloadedError(message, retry_after_ms=retry_ms)


def _cut_off() -> UnavailableError:
    return UnavailableError("the server stopped before this was answered; ask another, or again", code="draining")


def _level(scope: Scope, exchange: Exchange) -> str:
    """Our faults are errors; probes and scrapes that find nothing wrong would only hide the rest."""
    if _is_fault(exchange.status):
        return "error"
    return "debug" if scope["path"] in ROUTINE and exchange.status == 200 else "info"


def _request_id(scope: Scope) -> str:
    """The client's id if it is short and plain (it goes into logs and headers), else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            sent = value.decode("latin-1")
            if REQUEST_ID.fullmatch(sent):
                return str(sent)
    return new_request_id()


def new_request_id() -> str:
    """Unlike a secret, it need not ask the kernel, which takes 50 us."""
    return f"{getrandbits(128):032x}"
