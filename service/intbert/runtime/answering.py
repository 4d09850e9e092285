"""How one job is answered once everything is loaded: resolve, tokenise, compute, finish."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from intbert.errors import DeadlineError, InputError
from intbert.runtime.answered import Answered
from intbert.runtime.catalog import Catalog, Target
from intbert.runtime.compare import Comparison, VariantRun, memory_of
from intbert.runtime.computing import Computing
from intbert.runtime.jobs import Clock, Job, Prepared, Result_co, check_job
from intbert.runtime.queue import Output
from intbert.runtime.selection import Selection
from intbert.runtime.shadow import Shadow

# What the event loop does by itself, in well under a millisecond; more goes to a thread
INLINE_CHARACTERS = 8192  # to tokenise
INLINE_CHOICES = 65536  # to choose from


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """Of one request."""

    inputs_max: int
    tokens_max: int
    timeout_s: float


class Answering:
    """Thread-safe. Jobs in, answers out; errors as `InferenceService.answer` lists them."""

    def __init__(self, catalog: Catalog, computing: Computing, shadow: Shadow, limits: RequestLimits) -> None:
        self._catalog = catalog
        self._computing = computing
        self._shadow = shadow
        self._limits = limits

    async def answer(self, job: Job[Prepared, Result_co]) -> Result_co:
        """The answer; a sampled share of them is compared with another variant's later."""
        answered = await self._answer(job)
        self._shadow.offer(job, answered)
        return answered.result

    async def _answer(self, job: Job[Prepared, Result_co], *, again: bool = False) -> Answered[Prepared, Result_co]:
        """Text of ordinary length is tokenised on the event loop, everything slow beside it."""
        beside = not self._catalog.is_open(job.task, job.selection.model, job.selection.version)
        target, clock = await asyncio.to_thread(self._begin, job) if beside else self._begin(job)
        if not self._catalog.is_loaded(target):
            await self._load(target, clock)
        encode = partial(job.encode, target, tokens_max=self._limits.tokens_max)
        prepared = encode() if job.characters <= INLINE_CHARACTERS else await asyncio.to_thread(encode)
        clock.tokenized()
        outputs = await self._computing.compute(target, job.sequences(prepared), clock, again=again)
        finish = partial(_finish, job, target, prepared, outputs, clock)
        return finish() if job.choices <= INLINE_CHOICES else await asyncio.to_thread(finish)

    async def _load(self, target: Target, clock: Clock) -> None:
        """At first use. Who cannot wait for it is told so; the loading goes on for those who come after."""
        loading = asyncio.ensure_future(asyncio.to_thread(self._catalog.engine, target))
        loading.add_done_callback(lambda done: done.cancelled() or done.exception())  # said to those who waited
        try:
            await asyncio.wait_for(asyncio.shield(loading), clock.left_s())
        except TimeoutError:
            variant = f"variant {target.variant!r} of {target.key.model}"
            raise DeadlineError(
                f"{variant} was not loaded in time; ask again in a moment, or allow more time"
            ) from None
        clock.restart()

    def answer_now(self, job: Job[Prepared, Result_co]) -> Result_co:
        """Blocking, and without a shadow: for commands."""
        target, clock = self._begin(job)
        self._catalog.engine(target)
        clock.restart()
        prepared = job.encode(target, tokens_max=self._limits.tokens_max)
        clock.tokenized()
        outputs = self._computing.compute_now(target, job.sequences(prepared), clock)
        return _finish(job, target, prepared, outputs, clock).result

    async def compare(self, job: Job[Prepared, Result_co], variants: Sequence[str] | None) -> Comparison:
        """One variant after the other, so that they don't disturb each other's times, all within the job's deadline."""
        targets = await asyncio.to_thread(self.targets, job, variants)
        until_s = time.monotonic() + self._timeout_s(job.selection)
        runs = []
        for target in targets:
            left_s = max(1e-6, until_s - time.monotonic())
            answered = await self._answer(
                job.for_variant(target.key, return_digest=target.integer_only, timeout_s=left_s),
                again=True,  # remembered answers have no times to compare
            )
            runs.append(self._run(answered))
        return Comparison(runs=tuple(runs))

    def targets(self, job: Job[Prepared, Result_co], variants: Sequence[str] | None) -> list[Target]:
        """Of one version, so that none changes under a comparison. None: all variants, the model's default first."""
        asked = job.selection
        first = self._catalog.resolve(job.task, asked.model, asked.version, variants[0] if variants else None)
        manifest = first.model.package.manifest
        names = variants or sorted(manifest.variants, key=lambda name: name != first.variant)
        return [self._catalog.resolve(job.task, manifest.name, manifest.version, name) for name in names]

    def _run(self, answered: Answered[Prepared, Result_co]) -> VariantRun:
        engine = self._catalog.engine(answered.target)
        return VariantRun(
            key=answered.target.key,
            engine=engine.name,
            integer_only=engine.integer_only,
            opinion=answered.opinion,
            memory=memory_of(engine),
        )

    def _begin(self, job: Job[Prepared, Result_co]) -> tuple[Target, Clock]:
        """Refuse what can be refused before work begins."""
        asked = job.selection
        clock = Clock(self._timeout_s(asked))
        check_job(job, inputs_max=self._limits.inputs_max)
        target = self._catalog.resolve(job.task, asked.model, asked.version, asked.variant)
        if asked.return_digest and not target.integer_only:
            raise InputError.no_digest(model=target.key.model, variant=target.key.variant)
        return target, clock

    def _timeout_s(self, asked: Selection) -> float:
        limit_s = self._limits.timeout_s
        return limit_s if asked.timeout_s is None else min(asked.timeout_s, limit_s)


def _finish(
    job: Job[Prepared, Result_co], target: Target, prepared: Prepared, outputs: Sequence[Output], clock: Clock
) -> Answered[Prepared, Result_co]:
    clock.computed()
    result = job.finish(target, prepared, outputs, clock)
    return Answered(target=target, prepared=prepared, outputs=outputs, result=result)
