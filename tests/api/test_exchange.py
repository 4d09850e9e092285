"""What happens around a request when the server gives it up."""

import asyncio

from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from intbert.api.exchange import ExchangeMiddleware
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
