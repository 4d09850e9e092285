"""A client's side of HTTP/1.1 with as little work as possible: the generator shares its cores with what it measures.

httptools parses (the parser that the server has, too); a general client costs several times what an answer costs here.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser


class CallError(Exception):
    """No answer came; the class's name says why."""


class ConnectError(CallError):
    """The server took no connection."""


class ReadError(CallError):
    """The connection ended before the answer did."""


class ReadTimeout(CallError):
    """The answer did not come in time."""


@dataclass(kw_only=True)
class Answer:
    """One response; names of headers in lower case."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = HttpResponseParser(self)
        self._answer = Answer()
        self.usable = True

    async def ask(self, request: bytes, timeout_s: float) -> Answer:
        """Send the whole request, wait for the whole answer. CallError."""
        if self._transport is None or self._transport.is_closing():
            raise ReadError("the connection was closed")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        self._transport.write(request)
        timer = loop.call_later(timeout_s, self._give_up)
        try:
            return await self._waiting
        finally:
            timer.cancel()

    def close(self) -> None:
        """Whatever is under way."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        self._fail(ReadTimeout("no answer in time"))
        self.close()

    def _fail(self, error: CallError) -> None:
        self.usable = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(ReadError(str(error)))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ReadError("the connection was closed before the answer"))

    # HttpResponseParser

    def on_message_begin(self) -> None:
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._answer.body += body

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        self.usable = self._parser.should_keep_alive()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)


class Connections:
    """At most `limit` open at a time to one server; who finds none free waits."""

    def __init__(self, url: str, *, timeout_s: float, limit: int) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._timeout_s = timeout_s
        self._free: deque[Connection] = deque()
        self._places = asyncio.Semaphore(limit)
        self.host = address.netloc

    async def ask(self, request: bytes) -> Answer:
        """On a connection that is free, or a new one. CallError."""
        async with self._places:
            connection = self._idle() or await self._open()
            try:
                return await connection.ask(request, self._timeout_s)
            finally:
                if connection.usable:
                    self._free.append(connection)
                else:
                    connection.close()

    def _idle(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.usable:
                return connection
        return None

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            opening = loop.create_connection(Connection, self._host, self._port)
            _, connection = await asyncio.wait_for(opening, self._timeout_s)
        except (OSError, TimeoutError) as error:
            raise ConnectError(str(error)) from error
        return connection

    def close(self) -> None:
        """Those that are not in use."""
        for connection in self._free:
            connection.close()
