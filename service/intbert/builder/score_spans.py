"""Exact match and F1 of a span QA package on questions in SQuAD's format, through the service's engines."""

from collections.abc import Sequence

from intbert.builder.data_qa import Question
from intbert.builder.recipe import SpanSection
from intbert.model.package import Package
from intbert.runtime import qa, squad_metric
from intbert.runtime.batch import TokenSequence
from intbert.runtime.evaluate import Evaluation, compute, engine_of


def evaluate_questions(package: Package, variant: str, questions: Sequence[Question], span: SpanSection) -> Evaluation:
    """Metrics in percent; every question is cut into windows and answered as the service does it."""
    tokenizer, limit = package.tokenizer(), package.manifest.max_tokens
    parameters = qa.QaParameters(
        max_answer_len=span.answer_tokens_max,
        overlap=span.overlap_tokens,
        max_seq_len=span.window_tokens,
        max_question_len=span.question_tokens_max,
    )
    encoded = [
        qa.encode_question(
            tokenizer, qa.Question(question=item.text, context=item.context), parameters, limit_tokens=limit
        )
        for item in questions
    ]
    windows = [
        TokenSequence(token_ids=window.token_ids, type_ids=window.type_ids)
        for item in encoded
        for window in item.windows
    ]
    engine = engine_of(package, variant)
    computed = compute(engine, windows, threads=1, per_token=True)
    logits = iter(computed.logits)
    exact = f1 = 0.0
    for item, question in zip(encoded, questions, strict=True):
        found = qa.answers(item, [next(logits) for _ in item.windows], parameters, logit_scale=engine.logit_scale)
        references = [answer.text for answer in question.answers]
        exact += squad_metric.exact_match(found[0].answer, references)
        f1 += squad_metric.f1(found[0].answer, references)
    count = len(questions)
    return Evaluation(
        model=package.manifest.name,
        variant=variant,
        engine=engine.name,
        examples=count,
        metrics={"exact_match": round(100 * exact / count, 4), "f1": round(100 * f1 / count, 4)},
        tokens_per_s=round(computed.tokens_per_s, 1),
    )
