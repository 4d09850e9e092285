"""The worker pool: every request gets its own answer, and work is shared, ordered and batched as it should be."""

import os
import threading
from concurrent.futures import Future, wait

import numpy as np

from intbert.runtime.native import NativeEngine
from intbert.runtime.observer import VariantKey
from intbert.runtime.pool import Work, WorkerPool
from intbert.runtime.queue import Output
from intbert.runtime.reference import ReferenceEngine
from tests.runtime.pools import KEY, ONE, PROGRAM, SPANS, TWO, Gate, expected, make_pool, sequence, work


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


def test_workers_stand_back_behind_those_who_admit() -> None:
    """Each worker, a replaced one too, is two steps nicer than the thread that made the pool, and never nicer still."""
    gate = Gate()
    pool = make_pool(gate, ONE)
    wait([pool.submit(work(5, poison=True)), pool.submit(work(5))], timeout=10)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("intbert-worker")]
    nicenesses = {os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) for thread in workers if thread.is_alive()}
    assert nicenesses == {min(19, os.getpriority(os.PRIO_PROCESS, 0) + 2)}
    assert pool.close(10)
