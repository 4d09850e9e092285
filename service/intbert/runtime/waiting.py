"""Waiting for the sequences of one request: all answers, or the first error, within a bound, nothing left behind."""

import asyncio
import concurrent.futures
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock
from typing import TypeVar

from intbert.errors import DeadlineError

T = TypeVar("T")


async def gather(futures: "Sequence[Future[T]]", timeout_s: float) -> list[T]:
    """Results in order. On an error, at the deadline, or when the awaiting task is cancelled, the rest is cancelled."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    pending = len(futures)

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def count(future: "Future[T]") -> None:
        """In the thread that finished it: the event loop is woken once for all."""
        nonlocal pending
        with lock:
            pending -= 1
            wake = not pending or future.cancelled() or future.exception() is not None
        if wake:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(end)

    lock = Lock()
    for future in futures:
        future.add_done_callback(count)
    timer = loop.call_later(max(0.0, timeout_s), end)
    try:
        await over
    finally:
        timer.cancel()
        _cancel(futures)
    return _results(futures, timeout_s)


def gather_now(futures: "Sequence[Future[T]]", timeout_s: float) -> list[T]:
    """The same, blocking."""
    try:
        concurrent.futures.wait(futures, timeout=max(0.0, timeout_s), return_when=concurrent.futures.FIRST_EXCEPTION)
    finally:
        _cancel(futures)
    return _results(futures, timeout_s)


def _results(futures: "Sequence[Future[T]]", timeout_s: float) -> list[T]:
    finished = [future for future in futures if future.done() and not future.cancelled()]
    for future in finished:
        error = future.exception()
        if error is not None:
            raise error
    if len(finished) < len(futures):
        raise DeadlineError(f"no answer within the {timeout_s:.3f} s that were left; allow more time or send less")
    return [future.result() for future in futures]


def _cancel(futures: "Iterable[Future[T]]") -> None:
    for future in futures:
        if not future.done():
            future.cancel()
