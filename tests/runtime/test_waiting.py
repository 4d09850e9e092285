"""Waiting for several answers: all of them, or the first error, within the bound, nothing left running for nobody."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from intbert.errors import DeadlineError, EngineError
from intbert.runtime.waiting import gather, gather_now

Gather = Callable[[list["Future[int]"], float], list[int]]


def awaited(futures: "list[Future[int]]", timeout_s: float) -> list[int]:
    return asyncio.run(_gather(futures, timeout_s))


async def _gather(futures: "list[Future[int]]", timeout_s: float) -> list[int]:
    return await gather(futures, timeout_s)


both = pytest.mark.parametrize("gather_any", [gather_now, awaited])


@both
def test_results_keep_their_order(gather_any: Gather) -> None:
    """Whatever finishes first."""
    futures: list[Future[int]] = [Future() for _ in range(3)]
    for delay, index in ((0.01, 2), (0.02, 0), (0.03, 1)):
        threading.Timer(delay, futures[index].set_result, [index]).start()
    assert gather_any(futures, 5) == [0, 1, 2]


@both
def test_first_error_cancels_the_rest(gather_any: Gather) -> None:
    """Work that has not begun is not begun for a request that failed."""
    futures: list[Future[int]] = [Future() for _ in range(3)]
    futures[0].set_result(1)
    futures[1].set_exception(EngineError("broken"))
    with pytest.raises(EngineError, match="broken"):
        gather_any(futures, 5)
    assert futures[2].cancelled()


@both
def test_deadline_cancels_the_rest(gather_any: Gather) -> None:
    """Nobody waits longer than allowed, and the error is ours."""
    futures: list[Future[int]] = [Future(), Future()]
    futures[0].set_result(1)
    with pytest.raises(DeadlineError, match="within the 0.050 s"):
        gather_any(futures, 0.05)
    assert futures[1].cancelled()


def test_cancelled_task_cancels_its_work() -> None:
    """A client that disconnects."""
    futures: list[Future[int]] = [Future(), Future()]

    async def give_up() -> None:
        task = asyncio.create_task(gather(futures, 5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert all(future.cancelled() for future in futures)


def test_late_result_after_a_deadline_hurts_nobody() -> None:
    """A batch that is already computed when its client gives up finishes as usual."""
    future: Future[int] = Future()
    assert future.set_running_or_notify_cancel()

    async def give_up() -> None:
        with pytest.raises(DeadlineError):
            await gather([future], 0.01)
        future.set_result(1)
        await asyncio.sleep(0.01)

    asyncio.run(give_up())
    assert future.result() == 1
