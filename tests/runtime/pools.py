"""Worker pools on small random programs, one with an engine that waits, fails and counts on request."""

import threading
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engine import EngineSession
from intbert.runtime.observer import DropReason, SilentObserver, VariantKey
from intbert.runtime.pool import PoolSettings, Work, WorkerPool
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
