"""The worker pool under faults and at its end: nothing that was admitted is lost."""

import threading
import time

import numpy as np
import pytest

from intbert.errors import EngineError, UnavailableError
from tests.runtime.pools import ONE, TWO, Gate, Recorder, expected, make_pool, work


def test_poisoned_member_does_not_hurt_its_batch() -> None:
    """Only the input that makes the engine fail gets the error, with the cause; the rest of its batch is answered."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, ONE, observer)
    busy = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    works = [work(8, 1), work(8, 2, poison=True), work(8, 3)]
    futures = pool.submit_all(works)
    gate.opened.set()
    with pytest.raises(EngineError) as caught:
        futures[1].result(10)
    assert isinstance(caught.value.__cause__, RuntimeError)
    for index in (0, 2):
        assert np.array_equal(futures[index].result(10).logits, expected(works[index]))
    assert busy.result(10).batch_sequences == 1
    assert pool.close(10)
    assert observer.drops == {"internal": 1}


def test_worker_is_replaced_after_a_fault() -> None:
    """Faults on every worker, again and again, leave the pool at full strength with fresh sessions."""
    gate = Gate()
    pool = make_pool(gate)
    for round_ in range(5):
        for future in [pool.submit(work(4, poison=True)) for _ in range(4)]:
            with pytest.raises(EngineError):
                future.result(10)
        assert pool.submit(work(6, round_)).result(10).batch_tokens == 6
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("intbert-worker-")]
    assert len(alive) >= 2
    assert gate.sessions > 5
    assert pool.close(10)


def test_missing_progress_is_seen() -> None:
    """A batch that does not end shows in `longest_busy_s`."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE)
    assert pool.longest_busy_s() == 0
    stuck = pool.submit(work(5))
    assert gate.running.acquire(timeout=5)
    time.sleep(0.05)
    assert pool.longest_busy_s() >= 0.05
    gate.opened.set()
    stuck.result(10)
    assert pool.close(10)


def test_close_finishes_what_was_admitted() -> None:
    """Nothing is lost, new work is refused, and the threads end."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, TWO, observer)
    futures = [pool.submit(work(5, seed)) for seed in range(20)]
    closing = threading.Thread(target=pool.close, args=(10,))
    closing.start()
    time.sleep(0.05)
    with pytest.raises(UnavailableError, match="shutting down") as caught:
        pool.submit(work(5))
    assert caught.value.code == "draining"
    gate.opened.set()
    closing.join(timeout=10)
    assert all(future.done() and future.exception() is None for future in futures)
    assert {worker for worker, state in observer.states if state == "stopped"} == {0, 1}


def test_close_has_a_bound() -> None:
    """What can't be finished in time is answered with an error, and close says so."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, ONE, observer)
    stuck = pool.submit(work(5))
    assert gate.running.acquire(timeout=5)
    waiting = pool.submit(work(6))
    started = time.monotonic()
    assert not pool.close(0.2)
    assert time.monotonic() - started < 5
    with pytest.raises(UnavailableError):
        waiting.result(0)
    assert observer.drops == {"unavailable": 1}
    gate.opened.set()
    assert stuck.result(10).batch_tokens == 5
