"""What the worker pool refuses, and what it drops before it computes: at once, counted, and told to the caller."""

import time
from concurrent.futures import CancelledError, wait

import pytest

from intbert.errors import DeadlineError, InputError, OverloadedError
from intbert.runtime.observer import VariantKey
from intbert.runtime.pool import Work
from tests.runtime.pools import ONE, TWO, Gate, Recorder, make_pool, sequence, work


def test_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    """Admission is all or none, the refusal is counted, and what was admitted is answered."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, ONE, observer, queue_tokens_max=50)
    busy = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    waiting = pool.submit(work(30))
    with pytest.raises(OverloadedError, match="30 tokens of at most 50") as caught:
        pool.submit_all([work(10), work(11)])
    assert 1 <= caught.value.retry_after_ms <= 60_000
    assert observer.drops == {"overloaded": 2}
    fits = pool.submit(work(20))
    gate.opened.set()
    wait([busy, waiting, fits], timeout=10)
    assert pool.close(10)
    assert max(observer.queue_tokens) <= 50
    assert observer.queue_tokens[-1] == 0


def test_work_that_can_never_fit_is_the_clients_error() -> None:
    """Not "try again later", and no drop of the server's."""
    observer = Recorder()
    pool = make_pool(Gate(), TWO, observer, queue_tokens_max=50)
    with pytest.raises(InputError, match="51 tokens") as caught:
        pool.submit(work(51))
    assert caught.value.code == "too_many"
    assert not observer.drops
    assert pool.close(10)


def test_hopeless_deadline_is_refused_at_once() -> None:
    """When what waits takes longer than the deadline; an empty queue always admits."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE)
    busy = pool.submit(work(10, deadline_s=1e-6 + 5))
    assert gate.running.acquire(timeout=5)
    waiting = [pool.submit(work(60, seed)) for seed in range(20)]
    with pytest.raises(DeadlineError, match="what is computed before takes"):
        pool.submit(work(5, deadline_s=0.01))
    gate.opened.set()
    wait([busy, *waiting], timeout=20)
    assert pool.close(10)


def test_parts_of_a_long_document_do_not_use_up_a_short_deadline() -> None:
    """What waits takes longer than the deadline, but most of it comes after the short text."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE)
    busy = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    document = pool.submit_all([work(60, seed) for seed in range(200)])  # 2.4 s at the rate assumed at first
    short = pool.submit(work(5, deadline_s=1.0))
    with pytest.raises(DeadlineError, match="what is computed before takes"):
        pool.submit_all([work(60, seed, deadline_s=1.0) for seed in range(200)])  # its own last part comes too late
    gate.opened.set()
    assert short.result(5).batch_tokens >= 5
    wait([busy, *document], timeout=20)
    assert pool.close(10)


def test_unknown_variant_is_a_mistake_of_the_caller() -> None:
    """Nothing of the request is admitted then."""
    pool = make_pool(Gate())
    other = VariantKey(model="other", version="1", variant="int8")
    with pytest.raises(KeyError, match="other"):
        pool.submit_all([work(5), Work(key=other, sequence=sequence(3), deadline_s=1.0)])
    assert pool.submit(work(7)).result(10).batch_tokens == 7
    assert pool.close(10)


def test_expired_work_is_dropped_before_compute() -> None:
    """It gets DeadlineError, is counted, and costs no compute; its neighbour is answered."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, ONE, observer)
    busy = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    late, kept = pool.submit(work(11, deadline_s=0.05)), pool.submit(work(12))
    time.sleep(0.1)
    gate.opened.set()
    with pytest.raises(DeadlineError, match="passed"):
        late.result(10)
    assert busy.result(10).logits.shape == kept.result(10).logits.shape == (3,)
    assert pool.close(10)
    assert [lengths for _, lengths in gate.runs] == [[10], [12]]
    assert observer.drops == {"deadline": 1}


def test_cancelled_work_leaves_the_queue_at_once() -> None:
    """Its tokens make room for others, it is never computed, and counted once."""
    gate, observer = Gate(opened=False), Recorder()
    pool = make_pool(gate, ONE, observer, queue_tokens_max=20)
    busy = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    gone = pool.submit(work(20))
    assert gone.cancel()
    kept = pool.submit(work(19))
    gate.opened.set()
    assert kept.result(10).batch_tokens == 19
    with pytest.raises(CancelledError):
        gone.result(0)
    assert not busy.cancel()
    assert pool.close(10)
    assert [lengths for _, lengths in gate.runs] == [[10], [19]]
    assert observer.drops == {"cancelled": 1}


def test_the_last_report_of_the_queue_is_the_truth() -> None:
    """Also when all that waited has expired: a gauge that stays up would call for help on an idle server."""
    recorder = Recorder()
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE, recorder)
    first = pool.submit(work(3))
    assert gate.running.acquire(timeout=10)
    late = pool.submit_all([work(4, deadline_s=0.2) for _ in range(5)])
    assert recorder.queue_tokens[-1] == 20
    time.sleep(0.25)
    gate.opened.set()
    wait([first, *late], timeout=10)
    assert recorder.drops == {"deadline": 5}
    until_s = time.monotonic() + 5
    while recorder.queue_tokens[-1] and time.monotonic() < until_s:
        time.sleep(0.005)
    assert recorder.queue_tokens[-1] == 0
    assert pool.close(10)
