"""What happens around a request that the server gives up, or can't compute."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from intbert.api.exchange import ExchangeMiddleware
from intbert.errors import EngineError
from intbert.telemetry.logs import make_logger
from intbert.telemetry.metrics import Metrics


def test_a_cancelled_request_is_unavailable_and_not_its_clients_doing() -> None:
    """One answer with 503, one failure for that reason, one request with that code; nothing stays in flight."""
    metrics, sent = Metrics(CollectorRegistry()), list[Message]()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    exchange = ExchangeMiddleware(
        wait,
        metrics=metrics,
        traces=None,
        logger=make_logger(log_format="json", level="error"),
        draining=lambda: True,
        requests_max=8,
        retry_ms=lambda: 1,
    )

    async def give_up() -> None:
        task = asyncio.ensure_future(
            exchange({"type": "http", "method": "POST", "path": "/qa", "headers": []}, receive, send)
        )
        await asyncio.sleep(0)
        task.cancel()
        await task

    asyncio.run(give_up())
    assert [message.get("status") for message in sent] == [503, None]
    assert exchange.cut_off == 1
    counted = metrics.registry.get_sample_value
    assert counted("intbert_request_failures_total", {"reason": "unavailable"}) == 1
    assert counted("intbert_request_failures_total", {"reason": "cancelled"}) == 0
    labels = {"endpoint": "/qa", "model": "", "version": "", "variant": "", "code": "503"}
    assert counted("intbert_requests_total", labels) == 1
    assert counted("intbert_inflight_requests") == 0


def test_the_cause_of_a_fault_of_the_engine_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The client is told no more than that there was one; the log line of its request has the traceback."""

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        error = EngineError("the engine failed on this input")
        error.__cause__ = RuntimeError("no kernel for that")
        scope["state"]["exchange"].error = error
        await send({"type": "http.response.start", "status": 500, "headers": []})

    async def nothing(_: Message | None = None) -> Message:
        return {"type": "http.request"}

    exchange = ExchangeMiddleware(
        fail,
        metrics=Metrics(CollectorRegistry()),
        traces=None,
        logger=make_logger(log_format="json", level="info"),
        draining=lambda: False,
        requests_max=8,
        retry_ms=lambda: 1,
    )
    scope = {"type": "http", "method": "POST", "path": "/qa", "headers": []}
    asyncio.run(exchange(scope, nothing, nothing))  # type: ignore[arg-type]  # it takes no message, or one
    captured = capsys.readouterr()
    line = json.loads((captured.out + captured.err).strip().splitlines()[-1])
    assert (line["status"], line["code"], line["level"]) == (500, "engine_failed", "error")
    assert "RuntimeError: no kernel for that" in line["exception"]
