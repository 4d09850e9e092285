"""One request as the service sees it, whatever the task: what to load, what to compute, what to make of the logits."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

from intbert.errors import InputError
from intbert.model.manifest import Task
from intbert.model.tokenizer import EncodedInput
from intbert.runtime.answers import Result, Timings, Usage, digest_of
from intbert.runtime.batch import TokenSequence
from intbert.runtime.catalog import Target
from intbert.runtime.classify import (
    ClassifyParameters,
    ClassifyResult,
    TextInput,
    check_parameters,
    default_function,
    encode_inputs,
    label_scores,
)
from intbert.runtime.observer import VariantKey
from intbert.runtime.queue import Output
from intbert.runtime.selection import Selection

Prepared = TypeVar("Prepared")
Result_co = TypeVar("Result_co", bound=Result, covariant=True)


class Job(Protocol[Prepared, Result_co]):
    """A task's part of a request. `encode` may run in another thread; the other methods are quick."""

    @property
    def task(self) -> Task: ...

    @property
    def selection(self) -> Selection: ...

    @property
    def inputs(self) -> int:
        """How many inputs the request has."""
        ...

    @property
    def characters(self) -> int:
        """How much text there is to tokenise."""
        ...

    def check(self) -> None:
        """InputError for parameters that no model could take."""
        ...

    @property
    def choices(self) -> int:
        """About how many labels or spans have a score, from which `finish` takes the best."""
        ...

    def encode(self, target: Target, *, tokens_max: int) -> Prepared:
        """Tokenise. InputError names the input, or says that all together have more than `tokens_max` tokens."""
        ...

    def sequences(self, prepared: Prepared) -> list[TokenSequence]:
        """What the engine has to compute."""
        ...

    def finish(self, target: Target, prepared: Prepared, outputs: Sequence[Output], clock: "Clock") -> Result_co:
        """The answer, from one output a sequence."""
        ...

    def for_variant(self, key: VariantKey, *, return_digest: bool, timeout_s: float | None) -> Self:
        """The same request to one variant of one version."""
        ...


class Clock:
    """Stages and deadline of one request, in monotonic seconds."""

    def __init__(self, timeout_s: float) -> None:
        self._begun_s = time.monotonic()
        self._deadline_s = self._begun_s + timeout_s
        self._tokenized_s = self._begun_s
        self._computed_s = self._begun_s

    def left_s(self) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self._deadline_s - time.monotonic())

    def restart(self) -> None:
        """Tokenising begins now: a variant was being loaded until now."""
        self._begun_s = time.monotonic()

    def tokenized(self) -> None:
        """Call at the end of this stage."""
        self._tokenized_s = time.monotonic()

    def computed(self) -> None:
        """Call at the end of this stage."""
        self._computed_s = time.monotonic()

    def timings(self, outputs: Sequence[Output]) -> Timings:
        """Call when the answer is complete."""
        return Timings(
            begun_s=self._begun_s,
            tokenize_s=self._tokenized_s - self._begun_s,
            queue_s=max(output.queue_s for output in outputs),
            compute_s=max(output.compute_s for output in outputs),
            computed_s=self._computed_s,
            postprocess_s=time.monotonic() - self._computed_s,
        )


@dataclass(frozen=True, kw_only=True)
class ClassifyJob:
    """POST /classify."""

    texts: Sequence[TextInput]
    selection: ClassifyParameters
    task: Task = "text-classification"

    @property
    def inputs(self) -> int:
        return len(self.texts)

    @property
    def characters(self) -> int:
        return sum(len(item.text) + len(item.text_pair or "") for item in self.texts)

    def check(self) -> None:
        check_parameters(self.selection)

    @property
    def choices(self) -> int:
        return len(self.texts)

    def encode(self, target: Target, *, tokens_max: int) -> list[EncodedInput]:
        return encode_inputs(
            self.texts,
            target.model.tokenizer,
            limit_tokens=target.model.package.manifest.max_tokens,
            truncate=self.selection.truncation == "truncate",
        )

    def sequences(self, prepared: list[EncodedInput]) -> list[TokenSequence]:
        return [TokenSequence(token_ids=item.token_ids, type_ids=item.type_ids) for item in prepared]

    def finish(
        self, target: Target, prepared: list[EncodedInput], outputs: Sequence[Output], clock: Clock
    ) -> ClassifyResult:
        manifest = target.model.package.manifest
        if manifest.problem_type is None:
            raise TypeError(f"{manifest.name} is no classifier")  # the catalog resolves by task
        function = self.selection.function_to_apply or default_function(manifest.problem_type, len(manifest.labels))
        logits = tuple(output.logits for output in outputs)
        results = tuple(
            label_scores(
                row,
                manifest.labels,
                logit_scale=target.logit_scale,
                function=function,
                top_k=self.selection.top_k,
            )
            for row in logits
        )
        usage = tuple(
            Usage(tokens=item.tokens, truncated=item.tokens_dropped > 0, tokens_dropped=item.tokens_dropped)
            for item in prepared
        )
        digests = tuple(digest_of(row) for row in logits) if self.selection.return_digest else None
        return ClassifyResult(
            model=target.ref,
            results=results,
            usage=usage,
            digests=digests,
            logits=logits,
            labels=manifest.labels,
            timings=clock.timings(outputs),
        )

    def for_variant(self, key: VariantKey, *, return_digest: bool, timeout_s: float | None) -> "ClassifyJob":
        selection = self.selection.for_variant(key, return_digest=return_digest, timeout_s=timeout_s)
        return replace(self, selection=selection)


def check_job(job: Job[Prepared, Result_co], *, inputs_max: int) -> None:
    """Everything that can be refused before a model is known."""
    if not job.inputs:
        raise InputError("inputs is empty; send at least one text", code="empty_inputs")
    if job.inputs > inputs_max:
        raise InputError.too_many(what="inputs", count=job.inputs, limit=inputs_max)
    timeout_s = job.selection.timeout_s
    if timeout_s is not None and timeout_s <= 0:
        raise InputError(f"the timeout is {timeout_s} s; it must be positive", code="invalid_parameter")
    job.check()
