"""Shadow comparison: a sampled share of what integer variants answer is computed by the float variant as well.

Off the request's path: the answer is on its way before a comparison begins, what does not fit into a small queue is
dropped and counted, and the pool computes it only when there is nothing else to do (`WorkerPool.submit_idle`).
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

from intbert.errors import DeadlineError, IntbertError, UnavailableError
from intbert.runtime.agreement import Agreement, Opinion, agreement
from intbert.runtime.answered import Answered
from intbert.runtime.catalog import Catalog, Target
from intbert.runtime.jobs import Clock, Job, Prepared, Result_co
from intbert.runtime.observer import Observer, ShadowDropReason
from intbert.runtime.pool import Work, WorkerPool
from intbert.runtime.waiting import gather_now

GOLDEN_RATIO = 0x9E3779B97F4A7C15  # of 2**64
WAITING_MAX = 32  # requests
TOKENS_MAX = 8192  # of one request
PATIENCE_S = 10.0  # from the answer to the end of its comparison


def is_sampled(number: int, rate: float) -> bool:
    """Whether the request of that number, counted from 1, is compared.

    The fractional parts of number * golden ratio are as evenly spread as any sequence can be, so every stretch of
    requests has its share, and no rhythm of the traffic can hide from it.
    """
    return (number * GOLDEN_RATIO) % 2**64 < rate * 2**64


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A sampled request. `compare` computes the other opinion."""

    target: Target
    compare: Callable[[], Agreement]
    until_s: float  # monotonic


class Shadow:
    """Thread-safe. One thread of its own, which mostly waits; `close` ends it."""

    def __init__(self, catalog: Catalog, pool: WorkerPool, observer: Observer, *, rate: float) -> None:
        """`rate` of 0 to 1; with 0 nothing is ever sampled and no thread runs."""
        self._catalog = catalog
        self._pool = pool
        self._observer = observer
        self._rate = rate
        self._numbers = count(1)  # its next() is atomic
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(WAITING_MAX)
        self._thread: threading.Thread | None = None
        if rate > 0:
            self._thread = threading.Thread(target=self._run, name="intbert-shadow", daemon=True)
            self._thread.start()

    def offer(self, job: Job[Prepared, Result_co], answered: Answered[Prepared, Result_co]) -> None:
        """On the request's path: decides and queues, nothing else."""
        baseline = answered.target.float_baseline
        if self._thread is None or baseline is None or not is_sampled(next(self._numbers), self._rate):
            return
        if sum(usage.tokens for usage in answered.result.usage) > TOKENS_MAX:
            self._drop(answered.target, "too_large")
            return
        until_s = time.monotonic() + PATIENCE_S
        compare = partial(self._compare, job, answered, baseline, until_s)
        try:
            self._waiting.put_nowait(_Waiting(target=answered.target, compare=compare, until_s=until_s))
        except queue.Full:
            self._drop(answered.target, "busy")

    def close(self) -> None:
        """Forget what waits. Call after the pool was closed, so that nothing is computed any more."""
        if self._thread is None:
            return
        while self._thread.is_alive():
            try:
                self._waiting.put_nowait(None)
                break
            except queue.Full:
                with suppress(queue.Empty):  # the thread may have been faster
                    self._waiting.get_nowait()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._report(item.target, item.compare())
            except DeadlineError:
                self._drop(item.target, "late")
            except UnavailableError:
                continue  # the pool closes: the end comes next
            except IntbertError:
                self._drop(item.target, "failed")
            except Exception:  # noqa: BLE001 - a comparison that fails must cost nothing but itself
                self._drop(item.target, "failed")

    def _compare(
        self, job: Job[Prepared, Result_co], answered: Answered[Prepared, Result_co], baseline: Target, until_s: float
    ) -> Agreement:
        if time.monotonic() > until_s:
            raise DeadlineError("the comparison waited for too long")
        self._catalog.engine(baseline)
        again = job.for_variant(baseline.key, return_digest=False, timeout_s=None)
        works = [
            Work(key=baseline.key, sequence=sequence, deadline_s=PATIENCE_S)
            for sequence in job.sequences(answered.prepared)
        ]
        outputs = gather_now(self._pool.submit_idle(works), until_s - time.monotonic())
        result = again.finish(baseline, answered.prepared, outputs, Clock(PATIENCE_S))
        other = Opinion(variant=baseline.variant, result=result, outputs=outputs, logit_scale=baseline.logit_scale)
        return agreement(answered.opinion, other)

    def _report(self, target: Target, found: Agreement) -> None:
        self._observer.on_shadow(
            model=target.key.model,
            variant=target.variant,
            decision="span" if target.model.package.manifest.task == "question-answering" else "label",
            disagreements=len(found.per_input) - found.agreeing,
            logit_abs_diffs=[item.logit_abs_diff for item in found.per_input],
        )

    def _drop(self, target: Target, reason: ShadowDropReason) -> None:
        self._observer.on_shadow_drop(model=target.key.model, variant=target.variant, reason=reason)
