"""The worker pool under concurrency, overload, faults, cancellation and shutdown: nothing is lost."""

import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future, wait
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intbert.errors import DeadlineError, EngineError, InputError, OverloadedError, UnavailableError
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engine import EngineSession
from intbert.runtime.native import NativeEngine
from intbert.runtime.observer import DropReason, SilentObserver, VariantKey
from intbert.runtime.pool import PoolSettings, Work, WorkerPool
from intbert.runtime.queue import Output
from intbert.runtime.reference import ReferenceEngine
from intbert.runtime.threads import ThreadPlan
from tests.arithmetic.programs import Dimensions, random_program

KEY = VariantKey(model="tiny", version="1", variant="int8")
TWO = ThreadPlan(workers=2, threads_alone=2, reason="test")
ONE = ThreadPlan(workers=1, threads_alone=1, reason="test")
PROGRAM = random_program(1, Dimensions())
SPANS = random_program(1, Dimensions(pooler=False, labels=2))
POISON = 99


class Gate:
    """A real engine whose runs wait for `opened`, fail on a poisoned token, and are written down."""

    name = "gated"
    integer_only = True
    logit_scale = 1.0
    weights_bytes = 0

    def __init__(self, *, opened: bool = True) -> None:
        self.opened = threading.Event()
        self.running = threading.Semaphore(0)
        self.runs: list[tuple[int, list[int]]] = []
        self.sessions = 0
        self._engine = ReferenceEngine(PROGRAM, logit_scale=1.0)
        if opened:
            self.opened.set()

    def session(self, threads: int) -> EngineSession:
        self.sessions += 1
        return _GatedSession(self, self._engine.session(threads), threads)

    def arena_bytes(self) -> int:
        return 0


class _GatedSession:
    def __init__(self, gate: Gate, inner: EngineSession, threads: int) -> None:
        self._gate, self._inner, self._threads = gate, inner, threads

    def run(self, batch: RaggedBatch) -> NDArray[Any]:
        self._gate.runs.append((self._threads, batch.lengths.tolist()))
        self._gate.running.release()
        assert self._gate.opened.wait(10)
        if POISON in batch.token_ids:
            raise RuntimeError("poisoned")
        return self._inner.run(batch)


class Recorder(SilentObserver):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.sequences = 0
        self.queue_tokens: list[int] = []
        self.states: list[tuple[int, str]] = []

    def on_queue(self, *, tokens: int, oldest_age_s: float) -> None:
        assert oldest_age_s >= 0
        self.queue_tokens.append(tokens)

    def on_batch(self, **event: Any) -> None:
        self.sequences += event["sequences"]

    def on_drop(self, *, model: str, variant: str, reason: DropReason) -> None:
        self.drops[reason] += 1

    def on_worker(self, *, worker: int, state: str) -> None:
        self.states.append((worker, state))


def sequence(tokens: int, seed: int = 0, *, poison: bool = False) -> TokenSequence:
    ids = np.random.default_rng(seed).integers(0, 90, tokens)
    return TokenSequence.of([POISON, *ids[1:]] if poison else ids)


def work(tokens: int, seed: int = 0, *, deadline_s: float = 30.0, poison: bool = False) -> Work:
    return Work(key=KEY, sequence=sequence(tokens, seed, poison=poison), deadline_s=deadline_s)


def make_pool(engine: Any, plan: ThreadPlan = TWO, observer: Any = None, **settings: int) -> WorkerPool:
    pool = WorkerPool(plan, PoolSettings(**settings), observer)
    pool.add(KEY, engine, per_token=False)
    return pool


def expected(item: Work) -> NDArray[Any]:
    logits: NDArray[Any] = ReferenceEngine(PROGRAM, logit_scale=1.0).session(1).run(RaggedBatch.of([item.sequence]))
    return np.asarray(logits[0])


def test_every_request_gets_its_own_answer_under_concurrency() -> None:
    """Eight clients at once: whatever shares a batch, each gets the bits that it gets alone."""
    pool = make_pool(NativeEngine(PROGRAM, logit_scale=1.0, kernels=None), batch_tokens_max=100)
    works = [work(1 + seed % 40, seed) for seed in range(240)]
    results: dict[int, Future[Output]] = {}

    def client(first: int) -> None:
        for index in range(first, len(works), 8):
            results[index] = pool.submit(works[index])

    clients = [threading.Thread(target=client, args=(first,)) for first in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    for index, item in enumerate(works):
        output = results[index].result(timeout=30)
        assert np.array_equal(output.logits, expected(item))
        assert output.batch_tokens <= 100
        assert output.queue_s >= 0
        assert output.compute_s > 0
    assert pool.close(10)


def test_span_logits_are_cut_by_sequence() -> None:
    """Per-token variants get (tokens, 2) for each sequence."""
    pool = WorkerPool(TWO)
    pool.add(KEY, ReferenceEngine(SPANS, logit_scale=1.0), per_token=True)
    futures = pool.submit_all([work(5), work(9)])
    assert [future.result(10).logits.shape for future in futures] == [(5, 2), (9, 2)]
    assert pool.close(10)


def test_alone_on_all_cores_in_company_on_one() -> None:
    """The first batch runs wide; what comes while it runs does not."""
    gate = Gate(opened=False)
    pool = make_pool(gate, wide_tokens_min=1)
    first = pool.submit(work(20))
    assert gate.running.acquire(timeout=5)
    second = pool.submit(work(10))
    assert gate.running.acquire(timeout=5)
    gate.opened.set()
    wait([first, second], timeout=10)
    assert gate.runs == [(2, [20]), (1, [10])]
    assert pool.close(10)


def test_waiting_work_is_shared_among_idle_workers() -> None:
    """Sixteen inputs of one request go to both workers, not all to the first."""
    gate = Gate(opened=False)
    pool = make_pool(gate)
    futures = pool.submit_all([work(10, seed) for seed in range(16)])
    assert gate.running.acquire(timeout=5)
    assert gate.running.acquire(timeout=5)
    gate.opened.set()
    wait(futures, timeout=10)
    assert sorted(len(lengths) for _, lengths in gate.runs) == [8, 8]
    assert pool.close(10)


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
    """Not "try again later"."""
    pool = make_pool(Gate(), queue_tokens_max=50)
    with pytest.raises(InputError, match="51 tokens") as caught:
        pool.submit(work(51))
    assert caught.value.code == "too_many"
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


def test_hopeless_deadline_is_refused_at_once() -> None:
    """When what waits takes longer than the deadline; an empty queue always admits."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE)
    busy = pool.submit(work(10, deadline_s=1e-6 + 5))
    assert gate.running.acquire(timeout=5)
    waiting = [pool.submit(work(60, seed)) for seed in range(20)]
    with pytest.raises(DeadlineError, match="what waits already takes"):
        pool.submit(work(5, deadline_s=0.01))
    gate.opened.set()
    wait([busy, *waiting], timeout=20)
    assert pool.close(10)


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


def test_long_work_does_not_starve_short_work_nor_the_reverse() -> None:
    """The oldest entry is always in the next batch, whatever its length."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE, batch_tokens_max=40)
    busy = pool.submit(work(3))
    assert gate.running.acquire(timeout=5)
    long = pool.submit(work(60))
    short = [pool.submit(work(5, seed)) for seed in range(20)]
    gate.opened.set()
    wait([busy, long, *short], timeout=10)
    assert [lengths for _, lengths in gate.runs][1] == [60]
    assert [len(lengths) for _, lengths in gate.runs][2:] == [8, 8, 4]
    assert pool.close(10)


def test_document_of_many_windows_does_not_hold_up_a_short_text() -> None:
    """Fifty windows wait when a text arrives: it runs after the next batch, not after the fiftieth."""
    gate = Gate(opened=False)
    pool = make_pool(gate, ONE, batch_tokens_max=40)
    busy = pool.submit(work(3))
    assert gate.running.acquire(timeout=5)
    windows = pool.submit_all([work(40, seed) for seed in range(50)])
    short = pool.submit(work(5))
    gate.opened.set()
    wait([busy, *windows, short], timeout=30)
    assert [5] in [lengths for _, lengths in gate.runs][:4]
    assert pool.close(10)


def test_unknown_variant_is_a_mistake_of_the_caller() -> None:
    """Nothing of the request is admitted then."""
    pool = make_pool(Gate())
    other = VariantKey(model="other", version="1", variant="int8")
    with pytest.raises(KeyError, match="other"):
        pool.submit_all([work(5), Work(key=other, sequence=sequence(3), deadline_s=1.0)])
    assert pool.submit(work(7)).result(10).batch_tokens == 7
    assert pool.close(10)


def test_variants_never_share_a_batch() -> None:
    """Each batch runs on its own engine; both are served."""
    other = VariantKey(model="tiny", version="1", variant="fp32")
    gate, second = Gate(opened=False), Gate()
    pool = make_pool(gate, ONE)
    pool.add(other, second, per_token=False)
    futures = [pool.submit(work(3))]
    assert gate.running.acquire(timeout=5)
    for seed in range(6):
        key = other if seed % 2 else KEY
        futures.append(pool.submit(Work(key=key, sequence=sequence(4, seed), deadline_s=30.0)))
    gate.opened.set()
    wait(futures, timeout=10)
    assert sum(len(lengths) for _, lengths in gate.runs) == 4
    assert sum(len(lengths) for _, lengths in second.runs) == 3
    assert pool.close(10)


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
