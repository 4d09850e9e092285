"""The worker pool: a bounded queue, threads with one engine session each, ragged batches, nothing lost.

    submit -> WaitingLine -> worker: pop_batch -> session.run (no GIL) -> futures

What to do is decided in `policy.py`; here are the lock, the threads and the futures. A batch that is alone runs on a
session with all cores ("wide"), shared by the workers: at most one batch is alone, so one such session suffices.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from intbert.errors import DeadlineError, EngineError, InputError, IntbertError, OverloadedError, UnavailableError
from intbert.runtime.batch import RaggedBatch, TokenSequence, split_logits
from intbert.runtime.engine import Engine, EngineSession
from intbert.runtime.observer import DropReason, Observer, SilentObserver, VariantKey
from intbert.runtime.policy import admits, drain_s, goes_wide, retry_after_ms, share_budget, smoothed, turn
from intbert.runtime.queue import Entry, Output, WaitingLine
from intbert.runtime.threads import ThreadPlan

IDLE_TICK_S = 1.0
# When workers fill all cores, whoever admits and refuses goes first: else requests wait where no limit counts them.
WORKER_NICENESS = 2
NICENESS_MAX = 19
FIRST_RATE = 5000.0  # tokens a second of one core, assumed until a batch was measured


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Limits in tokens; see `config.Settings`."""

    queue_tokens_max: int = 65536
    batch_tokens_max: int = 2048
    wide_tokens_min: int = 64  # below, waking the other cores costs more than they save


@dataclass(frozen=True, kw_only=True)
class Work:
    """One sequence for one variant. `deadline_s`: seconds from now until which the answer is of use."""

    key: VariantKey
    sequence: TokenSequence
    deadline_s: float


@dataclass(frozen=True, kw_only=True)
class _Served:
    engine: Engine
    per_token: bool


class _Worker:
    """State of one thread. The pool's lock guards `busy_since_s`; the sessions belong to the thread alone."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.sessions: dict[VariantKey, EngineSession] = {}
        self.busy_since_s: float | None = None
        self.thread: threading.Thread | None = None


class WorkerPool:
    """Thread-safe. Make, `add` variants, `submit`, `close`."""

    def __init__(
        self, plan: ThreadPlan, settings: PoolSettings | None = None, observer: Observer | None = None
    ) -> None:
        """Starts the threads. UnavailableError after `close`."""
        self.plan = plan
        self.settings = settings or PoolSettings()
        self._observer: Observer = observer or SilentObserver()
        self._niceness = min(NICENESS_MAX, os.getpriority(os.PRIO_PROCESS, 0) + WORKER_NICENESS)
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)  # work for an idle worker, or the end
        self._finished = threading.Condition(self._lock)  # a batch is done
        self._reporting = threading.Lock()  # taken before `_lock`, never after
        self._line = WaitingLine()
        self._idle: deque[Entry] = deque()  # for whenever there is nothing else to do; bounded by its one user
        self._served: dict[VariantKey, _Served] = {}
        self._wide: dict[VariantKey, EngineSession] = {}
        self._rates: dict[VariantKey, float] = {}
        self._arrivals = 0
        self._state = "open"
        self._workers = [_Worker(index) for index in range(plan.workers)]
        for worker in self._workers:
            self._start(worker)

    def add(self, key: VariantKey, engine: Engine, *, per_token: bool) -> None:
        """Serve a variant; `per_token`: its logits are (tokens, 2), not (sequences, labels)."""
        with self._lock:
            self._served[key] = _Served(engine=engine, per_token=per_token)

    def submit(self, work: Work) -> "Future[Output]":
        """See `submit_all`."""
        return self.submit_all([work])[0]

    def submit_all(self, works: Sequence[Work]) -> "list[Future[Output]]":
        """Admit all or none; the futures are in the order of `works`.

        Raises at once: OverloadedError when the queue is full, DeadlineError when what already waits takes longer than
        the deadline, InputError `too_many` when the work could never fit, UnavailableError after `close` began.
        A future gives Output, or DeadlineError (dropped before compute), EngineError, UnavailableError.
        """
        try:
            with self._lock:
                entries = self._admit(works)
                self._arrived.notify(len(works))
        except IntbertError as error:
            if not isinstance(error, InputError):  # the client's error, which is no drop
                for work in works:
                    self._dropped(work.key, _drop_reason(error))
            raise
        for entry in entries:
            entry.future.add_done_callback(partial(self._on_done, entry))
        self._report_queue()
        return [entry.future for entry in entries]

    def submit_idle(self, works: Sequence[Work]) -> "list[Future[Output]]":
        """Work that is begun only while nothing waits and no worker is busy: one sequence at a time, on one core.

        It is never admitted against other work, so it has no deadline: cancel the futures to give up. Raises
        UnavailableError after `close` began, which cancels what has not begun.
        """
        with self._lock:
            if self._state != "open":
                raise UnavailableError("the server is shutting down", code="draining")
            entries = [self._entry(work, turn=0) for work in works]
            self._idle.extend(entries)
            self._arrived.notify()
        return [entry.future for entry in entries]

    def close(self, timeout_s: float) -> bool:
        """Refuse new work, finish what was admitted within the bound, stop. True when all of it was answered."""
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            self._state = "closing" if self._state == "open" else self._state
            unwanted = [*self._idle]
            self._idle.clear()
            while (len(self._line) or self._busy()) and time.monotonic() < deadline_s:
                self._finished.wait(min(0.1, max(0.0, deadline_s - time.monotonic())))
            lost = self._line.pop_all()
            clean = not lost and not self._busy()
            self._state = "closed"
            self._arrived.notify_all()
            idle = [worker.thread for worker in self._workers if worker.thread and worker.busy_since_s is None]
        for entry in unwanted:
            entry.future.cancel()
        for entry in lost:
            self._drop(entry, UnavailableError("the server stopped before this was computed", code="draining"))
        for thread in idle:
            thread.join(timeout=5.0)
        return clean

    def longest_busy_s(self) -> float:
        """How long the slowest running batch has been running: forward progress is gone when this keeps growing."""
        with self._lock:
            now_s = time.monotonic()
            return max((now_s - w.busy_since_s for w in self._workers if w.busy_since_s is not None), default=0.0)

    def next_batch_ms(self) -> int:
        """When the next batch will have left the queue: for those who are refused for another reason than tokens."""
        with self._lock:
            return self._retry_ms(self._drain_s(), 1)

    def _admit(self, works: Sequence[Work]) -> list[Entry]:
        """Under the lock."""
        tokens = sum(work.sequence.tokens for work in works)
        limit = self.settings.queue_tokens_max
        if self._state != "open":
            raise UnavailableError("the server is shutting down", code="draining")
        if tokens > limit:
            raise InputError.too_many(what="tokens", count=tokens, limit=limit)
        if unknown := {work.key for work in works} - set(self._served):
            raise KeyError(f"not served by this pool: {unknown}")
        wait_s = self._drain_s()
        if not admits(queued_tokens=self._line.tokens, tokens=tokens, queue_tokens_max=limit):
            excess = self._line.tokens + tokens - limit
            retry = self._retry_ms(wait_s, excess)
            raise OverloadedError(
                f"the queue holds {self._line.tokens} tokens of at most {limit}; try again in {retry} ms",
                retry_after_ms=retry,
            )
        before = list(accumulate((work.sequence.tokens for work in works), initial=0))[:-1]
        shortest_s = min(work.deadline_s for work in works)
        if wait_s > shortest_s and (ahead_s := self._ahead_s(before[-1])) > shortest_s:
            raise DeadlineError(
                f"what is computed before takes {ahead_s:.3f} s, longer than the {shortest_s:.3f} s allowed; "
                "allow more time"
            )
        return [self._enqueue(work, tokens_before) for work, tokens_before in zip(works, before, strict=True)]

    def _enqueue(self, work: Work, tokens_before: int) -> Entry:
        entry = self._entry(work, turn=turn(tokens_taken=self._line.tokens_taken, tokens_before=tokens_before))
        self._line.push(entry)
        return entry

    def _entry(self, work: Work, *, turn: int) -> Entry:
        now_s = time.monotonic()
        self._arrivals += 1
        return Entry(
            key=work.key,
            sequence=work.sequence,
            arrival=self._arrivals,
            turn=turn,
            enqueued_s=now_s,
            deadline_s=now_s + work.deadline_s,
            future=Future(),
        )

    def _drain_s(self) -> float:
        return self._compute_s(self._line.tokens_of())

    def _ahead_s(self, tokens_before: int) -> float:
        """What is computed before a sequence that has so many tokens of its own request before it: others may wait
        longer than it."""
        mine = turn(tokens_taken=self._line.tokens_taken, tokens_before=tokens_before)
        return self._compute_s(self._line.tokens_until(mine))

    def _compute_s(self, waiting: Mapping[VariantKey, int]) -> float:
        return drain_s([(n, self._rates.get(key, FIRST_RATE)) for key, n in waiting.items()], self.plan.workers)

    def _retry_ms(self, wait_s: float, excess_tokens: int) -> int:
        return retry_after_ms(
            drain_time_s=wait_s,
            queued_tokens=self._line.tokens,
            excess_tokens=excess_tokens,
            batch_tokens_max=self.settings.batch_tokens_max,
        )

    def _busy(self) -> int:
        return sum(worker.busy_since_s is not None for worker in self._workers)

    def _on_done(self, entry: Entry, future: "Future[Output]") -> None:
        """A cancelled future leaves the queue at once, so that its tokens don't keep others out."""
        if not future.cancelled():
            return
        with self._lock:
            waited = self._line.remove(entry)
        if waited:
            self._dropped(entry.key, "cancelled")
            self._report_queue()

    def _start(self, worker: _Worker) -> None:
        name = f"intbert-worker-{worker.index}"
        thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
        with self._lock:  # `close` joins threads that were started, and finds the newest
            if self._state != "closed":
                thread.start()
                worker.thread = thread

    def _work(self, worker: _Worker) -> None:
        """A thread's life: it ends with the pool, or after a fault, when a fresh thread takes its place."""
        with suppress(OSError):  # where it is forbidden, all is as fair as the kernel makes it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        replace = True
        try:
            replace = not self._work_until_fault(worker)
        finally:
            if replace:
                self._start(worker)

    def _work_until_fault(self, worker: _Worker) -> bool:
        """True when the pool was closed, False when the engine failed."""
        while True:
            self._observer.on_worker(worker=worker.index, state="idle")
            taken = self._take(worker)
            if taken is None:
                self._observer.on_worker(worker=worker.index, state="stopped")
                return True
            batch, wide = taken
            if batch:
                self._report_queue()
                self._observer.on_worker(worker=worker.index, state="busy")
                if not self._serve(worker, batch, wide=wide):
                    return False

    def _take(self, worker: _Worker) -> tuple[list[Entry], bool] | None:
        """The next batch and whether it may use all cores; empty after an idle second; None when the pool is closed."""
        with self._lock:
            if not len(self._line) and not self._has_leisure() and self._state != "closed":
                self._arrived.wait(IDLE_TICK_S)
            if self._state == "closed":
                return None
            expired = self._line.pop_expired(time.monotonic())
            others_busy = self._busy()
            budget = share_budget(
                waiting_tokens=self._line.tokens,
                idle_workers=self.plan.workers - others_busy,
                batch_tokens_max=self.settings.batch_tokens_max,
            )
            batch = self._line.pop_batch(budget)
            wide = goes_wide(
                cores=self.plan.threads_alone,
                tokens=sum(entry.tokens for entry in batch),
                wide_tokens_min=self.settings.wide_tokens_min,
                others_busy=others_busy,
                others_waiting=len(self._line),
            )
            if not batch and self._has_leisure():
                batch = [self._idle.popleft()]
            worker.busy_since_s = time.monotonic() if batch else None
        for entry in expired:
            self._drop(entry, DeadlineError("the deadline passed while the request was waiting"))
        if expired and not batch:  # a batch is reported by who computes it
            self._report_queue()
        return batch, wide

    def _has_leisure(self) -> bool:
        """Under the lock: idle work may begin now."""
        return bool(self._idle) and not len(self._line) and not self._busy() and self._state == "open"

    def _serve(self, worker: _Worker, batch: list[Entry], *, wide: bool) -> bool:
        """Compute and answer. False when an engine failed: the thread and its sessions are then replaced."""
        running = [entry for entry in batch if self._still_wanted(entry)]
        try:
            fault = self._answer(worker, running, wide=wide) if running else None
            if fault is not None:
                self._isolate(worker, running, fault)
            return fault is None
        finally:
            with self._lock:
                worker.busy_since_s = None
                self._finished.notify_all()

    def _answer(self, worker: _Worker, entries: list[Entry], *, wide: bool) -> Exception | None:
        """One run for all. The fault, with nobody answered, when the engine failed."""
        key = entries[0].key
        served = self._served[key]
        started_s = time.monotonic()
        try:
            session = self._session(worker, key, served.engine, wide=wide)
            ragged = RaggedBatch.of([entry.sequence for entry in entries])
            cpu_s = time.thread_time()
            rows = split_logits(session.run(ragged), ragged, per_token=served.per_token)
            cpu_s = time.thread_time() - cpu_s
        except Exception as fault:  # noqa: BLE001 - whatever fails, callers get an answer
            (self._wide if wide else worker.sessions).pop(key, None)
            return fault
        compute_s = time.monotonic() - started_s
        padding: float = getattr(session, "padding_ratio", 0.0)  # see `engine.PaddingSession`
        threads = self.plan.threads_alone if wide else 1
        self._rates[key] = smoothed(self._rates.get(key), ragged.tokens, compute_s * threads)
        for entry, logits in zip(entries, rows, strict=True):
            entry.future.set_result(
                Output(
                    logits=logits,
                    queue_s=started_s - entry.enqueued_s,
                    compute_s=compute_s,
                    batch_tokens=ragged.tokens,
                    batch_sequences=ragged.sequences,
                )
            )
        self._observer.on_batch(
            model=key.model,
            variant=key.variant,
            tokens=ragged.tokens,
            sequences=ragged.sequences,
            compute_s=compute_s,
            engine_cpu_s=cpu_s,
            padding_ratio=padding,
        )
        return None

    def _isolate(self, worker: _Worker, entries: list[Entry], fault: Exception) -> None:
        """After a fault: each by itself on a fresh session, so that only the one that causes it fails."""
        for entry in entries:
            own = fault if len(entries) == 1 else self._answer(worker, [entry], wide=False)
            if own is not None:
                error = EngineError("the engine failed on this input; the server's log has details")
                error.__cause__ = own
                entry.future.set_exception(error)
                self._dropped(entry.key, "internal")
        worker.sessions.clear()

    def _still_wanted(self, entry: Entry) -> bool:
        if entry.future.set_running_or_notify_cancel():
            return True
        self._dropped(entry.key, "cancelled")
        return False

    def _session(self, worker: _Worker, key: VariantKey, engine: Engine, *, wide: bool) -> EngineSession:
        sessions, threads = (self._wide, self.plan.threads_alone) if wide else (worker.sessions, 1)
        if key not in sessions:
            sessions[key] = engine.session(threads)
        return sessions[key]

    def _drop(self, entry: Entry, error: IntbertError) -> None:
        if entry.future.set_running_or_notify_cancel():
            self._dropped(entry.key, _drop_reason(error))
            entry.future.set_exception(error)

    def _dropped(self, key: VariantKey, reason: DropReason) -> None:
        self._observer.on_drop(model=key.model, variant=key.variant, reason=reason)

    def _report_queue(self) -> None:
        """Whoever reports last has seen the newest state: else the metrics could keep an older one."""
        with self._reporting:
            with self._lock:
                oldest = self._line.oldest
                tokens = self._line.tokens
            age_s = 0.0 if oldest is None else time.monotonic() - oldest.enqueued_s
            self._observer.on_queue(tokens=tokens, oldest_age_s=age_s)


def _drop_reason(error: IntbertError) -> DropReason:
    """For the observer. Anything unexpected is a fault of ours."""
    if isinstance(error, OverloadedError):
        return "overloaded"
    if isinstance(error, DeadlineError):
        return "deadline"
    return "unavailable" if isinstance(error, UnavailableError) else "internal"
