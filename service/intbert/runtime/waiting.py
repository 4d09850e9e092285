"""Waiting for the sequences of one request: all answers, or the first error, within a bound, nothing left behind."""

import asyncio
import concurrent.futures
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from intbert.errors import DeadlineError

T = TypeVar("T")


async def gather(futures: "Sequence[Future[T]]", timeout_s: float) -> list[T]:
    """Results in order. On an error, at the deadline, or when the awaiting task is cancelled, the rest is cancelled."""
    waiting = [asyncio.wrap_future(future) for future in futures]
    try:
        await asyncio.wait(waiting, timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for item in waiting:
            item.cancel()
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
        future.cancel()
