"""Sequences to logits: from the cache where they are known, from the pool for the rest."""

from collections.abc import Sequence
from concurrent.futures import Future

from intbert.runtime.batch import TokenSequence
from intbert.runtime.cache import CacheScope, PredictionCache
from intbert.runtime.catalog import Target
from intbert.runtime.jobs import Clock
from intbert.runtime.pool import Work, WorkerPool
from intbert.runtime.queue import Output
from intbert.runtime.waiting import gather, gather_now


class Computing:
    """Thread-safe. Errors are those of `WorkerPool.submit_all` and of the futures."""

    def __init__(self, pool: WorkerPool, cache: PredictionCache) -> None:
        self._pool = pool
        self._cache = cache

    async def compute(
        self, target: Target, sequences: Sequence[TokenSequence], clock: Clock, *, again: bool = False
    ) -> list[Output]:
        """One output a sequence, in order. `again`: also what is known."""
        known = [None] * len(sequences) if again else self._known(target, sequences)
        missing = [item for item, output in zip(sequences, known, strict=True) if output is None]
        fresh = await gather(self._submit(target, missing, clock), clock.left_s()) if missing else []
        return self._merge(target, known, missing, fresh)

    def compute_now(self, target: Target, sequences: Sequence[TokenSequence], clock: Clock) -> list[Output]:
        """The same, blocking."""
        known = self._known(target, sequences)
        missing = [item for item, output in zip(sequences, known, strict=True) if output is None]
        fresh = gather_now(self._submit(target, missing, clock), clock.left_s()) if missing else []
        return self._merge(target, known, missing, fresh)

    def _known(self, target: Target, sequences: Sequence[TokenSequence]) -> list[Output | None]:
        if not self._remembers(target):
            return [None] * len(sequences)
        return self._cache.find(_scope(target), sequences)

    def _merge(
        self, target: Target, known: Sequence[Output | None], missing: Sequence[TokenSequence], fresh: list[Output]
    ) -> list[Output]:
        if fresh and self._remembers(target):
            self._cache.keep(_scope(target), missing, fresh)
        computed = iter(fresh)
        return [next(computed) if output is None else output for output in known]

    def _remembers(self, target: Target) -> bool:
        """The same bits every time are a property of integers only."""
        return self._cache.enabled and target.integer_only

    def _submit(self, target: Target, sequences: Sequence[TokenSequence], clock: Clock) -> "list[Future[Output]]":
        left_s = clock.left_s()
        return self._pool.submit_all([Work(key=target.key, sequence=item, deadline_s=left_s) for item in sequences])


def _scope(target: Target) -> CacheScope:
    return CacheScope(model=target.key.model, variant=target.variant, sha256=target.model.package.sha256)
