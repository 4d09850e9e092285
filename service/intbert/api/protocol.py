"""uvicorn's HTTP/1.1 with bounds on a request's head, answers in one write, and problem documents for what is no HTTP.

A head is the request line and the headers. Bodies have their bounds in `body.py`, where their routes are known.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from intbert.api.errors import HttpError, problem
from intbert.api.exchange import new_request_id

HEAD_BYTES_MAX = 65536
LINGER_S = 1.0


class OneWrite:
    """A transport that joins what is written in one turn of the event loop.

    uvicorn writes the head of an answer and its body apart, and each would be a system call that wakes the client.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """With the next turn of the loop at the latest."""
        self._held.append(data)
        if len(self._held) == 1:
            self._loop.call_soon(self._flush)

    def write_eof(self) -> None:
        """After what was written."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """After what was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """A connection: at most HEAD_BYTES_MAX bytes a head, which has `head_timeout_s` to arrive.

    The time counts from the connection's beginning, or from the first byte of a later request; between requests
    uvicorn's own bound for idle connections holds. A connection that never says anything is closed without a word.
    """

    def __init__(self, *, head_timeout_s: float, **parts: Any) -> None:
        super().__init__(**parts)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_body = False
        # Since the chunk with the last request's end. With its own last chunk it may hold more than the head.
        self._head_bytes = 0
        self._too_large = False
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, OneWrite(transport)))
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_body:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes and not self._refused:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(_too_large())
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_is_late)

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_BYTES_MAX and self._head_size() > HEAD_BYTES_MAX:
            self._too_large = True
            raise ValueError("the head is too large")  # ends the parsing, see `send_400_response`
        self._in_body, self._head_bytes = True, 0
        if self._head_timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls it for what it can't parse."""
        self._refuse(_too_large() if self._too_large else HttpError(400, "malformed_http", "this is no HTTP/1.1"))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(_too_slow(self._head_timeout_s))
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: HttpError) -> None:
        """Answer and close, unless an earlier request is being answered: then close after that."""
        self._refused = True
        self._stop_timer()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not self._in_body:
                cycle.keep_alive = False
                return
            if cycle.response_started or self.pipeline:
                self.transport.close()
                return
            cycle.disconnected = True  # it is this request's body that can't be read: nobody waits for its answer
            cycle.message_event.set()
        self._say(error)

    def _say(self, error: HttpError) -> None:
        """A connection closed with something unread is reset, and may lose the answer: let the client close first."""
        request_id = new_request_id()
        self.logger.warning("refused a request: %s (request id %s)", error.message, request_id)
        response = problem(error, request_id=request_id)
        own = [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = [name + b": " + value + b"\r\n" for name, value in (*response.raw_headers, *own)]
        self.transport.write(b"".join((STATUS_LINE[response.status_code], *lines, b"\r\n", response.body)))
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)


def _too_large() -> HttpError:
    message = f"the request line and headers are larger than the limit of {HEAD_BYTES_MAX} bytes; send fewer or shorter"
    return HttpError(431, "head_too_large", message, details={"limit": HEAD_BYTES_MAX})


def _too_slow(limit_s: float) -> HttpError:
    return HttpError(408, "head_timeout", f"the request line and headers did not arrive within {limit_s:g} s")
