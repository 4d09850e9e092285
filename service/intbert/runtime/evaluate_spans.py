"""Exact match and F1 of a span question model, through the windows, engines and span search that the service uses."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.errors import InputError
from intbert.model.package import Package
from intbert.runtime import qa, squad_metric
from intbert.runtime.evaluate import Evaluation, Progress, compute, engine_of
from intbert.runtime.outcomes import SpanOutcomes
from intbert.runtime.squad import LabelledQuestion


def evaluate_spans(
    package: Package,
    variant: str,
    questions: Sequence[LabelledQuestion],
    parameters: qa.QaParameters | None = None,
    *,
    kernels: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Metrics in percent; `parameters` (lengths only) default to the service's. NotFoundError, InputError."""
    manifest, asked = package.manifest, parameters or qa.QaParameters()
    if manifest.task != "question-answering":
        raise InputError.wrong_task(model=manifest.name, task=manifest.task, wanted="question-answering")
    if not questions:
        raise InputError("there is nothing to evaluate", code="empty_file")
    engine = engine_of(package, variant, kernels=kernels)
    encoded = encode_all(package, questions, asked)
    windows = [sequence for item in encoded for sequence in item.sequences()]
    computed = compute(engine, windows, threads=threads, per_token=True, progress=progress)
    return Evaluation(
        model=manifest.name,
        variant=variant,
        engine=engine.name,
        outcomes=outcomes_of(encoded, computed.logits, questions, asked, logit_scale=manifest.output_scale(variant)),
        tokens=np.array([item.usage.tokens for item in encoded]),
        windows=np.array([item.usage.windows for item in encoded]),
        tokens_per_s=round(computed.tokens_per_s, 1),
    )


def outcomes_of(
    encoded: Sequence[qa.EncodedQuestion],
    logits: Sequence[NDArray[Any]],
    questions: Sequence[LabelledQuestion],
    parameters: qa.QaParameters,
    *,
    logit_scale: float,
) -> SpanOutcomes:
    """logits: one (tokens, 2) array a window, question by question, in units of `logit_scale`."""
    remaining = iter(logits)
    best = [
        qa.answers(item, [next(remaining) for _ in item.windows], parameters, logit_scale=logit_scale)[0]
        for item in encoded
    ]
    judged = [
        (squad_metric.exact_match(found.answer, references), squad_metric.f1(found.answer, references))
        for found, references in zip(best, ([gold.text for gold in item.answers] for item in questions), strict=True)
    ]
    exact, overlap = np.array(judged, dtype=np.float64).T
    return SpanOutcomes(
        exact=exact,
        overlap=overlap,
        spans=np.array([(found.start, found.end) for found in best]),
        probabilities=np.array([found.score for found in best]),
        answers=np.array([found.answer for found in best], dtype=object),
    )


def encode_all(
    package: Package, questions: Sequence[LabelledQuestion], parameters: qa.QaParameters
) -> list[qa.EncodedQuestion]:
    """Windows of every question."""
    tokenizer, limit_tokens = package.tokenizer(), package.manifest.max_tokens
    return [
        qa.encode_question(
            tokenizer,
            qa.Question(question=item.text, context=item.context),
            parameters,
            limit_tokens=limit_tokens,
            field=f"question {item.id}",
        )
        for item in questions
    ]
