"""Connections: what a request's head may be, and how long it may take. Raw sockets, since no client would send this."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from intbert.api.protocol import HEAD_BYTES_MAX
from tests.api.conftest import RunningServer, run_server

HEAD_TIMEOUT_S = 1.0
BODY = b'{"inputs": "good film"}'
WHOLE = (
    b"POST /classify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)


@pytest.fixture(scope="module")
def hasty(tiny_store: Path) -> Iterator[RunningServer]:
    """A server that waits for a head for a second only."""
    with run_server(tiny_store, head_timeout_s=HEAD_TIMEOUT_S) as running:
        yield running


def connect(server: RunningServer) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=20)


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def check(answer: bytes, status: int, code: str) -> Any:
    """One problem document on a connection that ends with it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"x-request-id: {problem['request_id']}".encode() in head
    return problem


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nx: ", b"GET /", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_without_end_is_refused(hasty: RunningServer, start: bytes) -> None:
    """A header, a path, or a number of headers: 431 with the limit, long before all of it was sent."""
    unit = b"y: z\r\n" if start.endswith(b"\n") else b"zzzzzz"
    with connect(hasty) as connection:
        connection.sendall(start)
        connection.sendall(unit * (HEAD_BYTES_MAX // len(unit) + 10))
        assert check(rest(connection), 431, "head_too_large")["limit"] == HEAD_BYTES_MAX


def test_a_head_that_is_whole_and_too_large_is_refused(hasty: RunningServer) -> None:
    """However its bytes arrive; one byte less than the limit allows is answered."""
    for size, status in ((HEAD_BYTES_MAX + 1, 431), (HEAD_BYTES_MAX - 100, 200)):
        with connect(hasty) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nconnection: close\r\nx: " + b"z" * size + b"\r\n\r\n")
            assert rest(connection).startswith(f"HTTP/1.1 {status} ".encode())


def test_large_bodies_and_many_small_requests_are_no_large_heads(hasty: RunningServer) -> None:
    """Only heads count, each by itself, whatever comes in the same chunk."""
    padded = BODY + b" " * (3 * HEAD_BYTES_MAX)
    head = WHOLE.partition(b"content-length")[0] + b"content-length: " + str(len(padded)).encode() + b"\r\n\r\n"
    with connect(hasty) as connection:
        connection.sendall((head + padded) * 2)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" * 3000)
        connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert rest(connection).count(b"HTTP/1.1 200 ") == 3003


@pytest.mark.parametrize("sent", [b"GE", b"GET / HTTP/1.1\r\nhost"])
def test_a_head_that_stops_half_way_is_late(hasty: RunningServer, sent: bytes) -> None:
    """408 after the time, on a new connection and on one that has answered before."""
    for before in (b"", WHOLE):
        with connect(hasty) as connection:
            if before:
                connection.sendall(before)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
                time.sleep(HEAD_TIMEOUT_S)  # being idle is no fault
            started_s = time.monotonic()
            connection.sendall(sent)
            check(rest(connection), 408, "head_timeout")
            assert HEAD_TIMEOUT_S * 0.9 < time.monotonic() - started_s < HEAD_TIMEOUT_S + 5


def test_a_head_that_drips_is_late_too(hasty: RunningServer) -> None:
    """The time is that of the whole head: more bytes do not prolong it."""
    with connect(hasty) as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        answer = b""
        for _ in range(50):
            try:
                answer = connection.recv(65536)
                break
            except TimeoutError:
                connection.sendall(b"x: y\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_silent_connection_is_closed(hasty: RunningServer) -> None:
    """Without a word: browsers open connections that they may never use."""
    with connect(hasty) as connection:
        assert rest(connection) == b""


def test_an_idle_connection_outlives_the_heads_time(hasty: RunningServer) -> None:
    """Between requests the time for idle connections counts, which is longer."""
    with connect(hasty) as connection:
        for _ in range(2):
            connection.sendall(WHOLE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(HEAD_TIMEOUT_S * 1.5)


@pytest.mark.parametrize(
    "sent", [b"what is this?\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nb@d header\r\n\r\n"]
)
def test_what_is_no_http_gets_a_problem(hasty: RunningServer, sent: bytes) -> None:
    """400 in the shape of all other errors."""
    with connect(hasty) as connection:
        connection.sendall(sent)
        check(rest(connection), 400, "malformed_http")


def test_nonsense_behind_a_request_does_not_take_its_answer(hasty: RunningServer) -> None:
    """The request is answered, then the connection ends."""
    with connect(hasty) as connection:
        connection.sendall(WHOLE + b"what is this?\r\n\r\n")
        answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_in_broken_chunks_gets_a_problem(hasty: RunningServer) -> None:
    """It is refused once, and its request is not answered a second time."""
    head = WHOLE.partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    with connect(hasty) as connection:
        connection.sendall(head)
        time.sleep(0.1)
        connection.sendall(b"zz\r\n")
        check(rest(connection), 400, "malformed_http")
