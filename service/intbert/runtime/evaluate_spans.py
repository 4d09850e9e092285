"""Exact match and F1 of a span question model, through the windows, engines and span search that the service uses."""

from collections.abc import Sequence

from intbert.errors import InputError
from intbert.model.package import Package
from intbert.runtime import qa, squad_metric
from intbert.runtime.evaluate import Evaluation, Progress, compute, engine_of
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
    logits = iter(computed.logits)
    exact = f1 = 0.0
    scale = manifest.output_scale(variant)
    for item, question in zip(encoded, questions, strict=True):
        best = qa.answers(item, [next(logits) for _ in item.windows], asked, logit_scale=scale)[0]
        references = [answer.text for answer in question.answers]
        exact += squad_metric.exact_match(best.answer, references)
        f1 += squad_metric.f1(best.answer, references)
    return Evaluation(
        model=manifest.name,
        variant=variant,
        engine=engine.name,
        examples=len(questions),
        metrics={
            "exact_match": round(100 * exact / len(questions), 4),
            "f1": round(100 * f1 / len(questions), 4),
        },
        tokens_per_s=round(computed.tokens_per_s, 1),
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
