"""POST /qa as the service sees it: every window is an item of its own, so a long document never blocks a short text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from intbert.model.manifest import Task
from intbert.runtime.batch import TokenSequence
from intbert.runtime.catalog import Target
from intbert.runtime.jobs import Clock
from intbert.runtime.observer import VariantKey
from intbert.runtime.qa import (
    EncodedQuestion,
    QaParameters,
    QaResult,
    Question,
    answers,
    check_parameters,
    encode_question,
    span_digest,
)
from intbert.runtime.queue import Output


@dataclass(frozen=True, kw_only=True)
class QaJob:
    """One or many questions, each about its own context."""

    questions: Sequence[Question]
    selection: QaParameters
    task: Task = "question-answering"

    @property
    def inputs(self) -> int:
        return len(self.questions)

    @property
    def characters(self) -> int:
        return sum(len(item.question) + len(item.context) for item in self.questions)

    def check(self) -> None:
        check_parameters(self.selection)

    @property
    def choices(self) -> int:
        """A token has four characters or more, and as many spans as an answer may be long."""
        return self.characters // 4 * self.selection.max_answer_len

    def encode(self, target: Target, *, tokens_max: int) -> list[EncodedQuestion]:
        encoded: list[EncodedQuestion] = []
        for index, item in enumerate(self.questions):
            question = encode_question(
                target.model.tokenizer,
                item,
                self.selection,
                limit_tokens=target.model.package.manifest.max_tokens,
                tokens_max=tokens_max,
                field=f"inputs[{index}]",
            )
            tokens_max -= question.usage.tokens
            encoded.append(question)
        return encoded

    def sequences(self, prepared: list[EncodedQuestion]) -> list[TokenSequence]:
        return [sequence for encoded in prepared for sequence in encoded.sequences()]

    def finish(
        self, target: Target, prepared: list[EncodedQuestion], outputs: Sequence[Output], clock: Clock
    ) -> QaResult:
        remaining = iter(outputs)
        logits = [[output.logits for output in islice(remaining, len(encoded.windows))] for encoded in prepared]
        results = tuple(
            answers(encoded, windows, self.selection, logit_scale=target.logit_scale, null_offset=target.null_offset)
            for encoded, windows in zip(prepared, logits, strict=True)
        )
        return QaResult(
            model=target.ref,
            results=results,
            usage=tuple(encoded.usage for encoded in prepared),
            digests=tuple(span_digest(windows) for windows in logits) if self.selection.return_digest else None,
            timings=clock.timings(outputs),
        )

    def for_variant(self, key: VariantKey, *, return_digest: bool, timeout_s: float | None) -> "QaJob":
        selection = self.selection.for_variant(key, return_digest=return_digest, timeout_s=timeout_s)
        return replace(self, selection=selection)
