"""Where a variant is wrong, beside its baseline: groups of examples, and the errors that it is most sure of."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from intbert.model.manifest import Manifest
from intbert.runtime.evaluate import METRIC_DIGITS, Evaluation
from intbert.runtime.examples import LabelledText
from intbert.runtime.groups import Group, question_groups, text_groups
from intbert.runtime.labelled import Examples
from intbert.runtime.outcomes import LabelOutcomes, LabelSetOutcomes, SpanOutcomes
from intbert.runtime.qa import SCORE_DIGITS
from intbert.runtime.squad import LabelledQuestion

JsonObject = dict[str, Any]
ERRORS_SHOWN = 10
TEXT_CHARACTERS = 200


def error_analysis(examples: Examples, found: Evaluation, baseline: Evaluation, manifest: Manifest) -> JsonObject:
    """A plain document about what two variants said to the same examples.

    metric: the one that groups are compared by; groups: [{by, name, examples, VARIANT: metric, BASELINE: metric}];
    errors: up to ten of `found`'s, the most confident first, texts shortened, with what the baseline said.
    """
    return {
        "metric": found.outcomes.group_metric,
        "groups": [_row(group, (found, baseline)) for group in groups_of(examples, found, manifest)],
        "errors": [_error(examples[index], index, found, baseline, manifest) for index in confident_errors(found)],
    }


def groups_of(examples: Examples, found: Evaluation, manifest: Manifest) -> list[Group]:
    """The task's groups."""
    if manifest.task == "question-answering":
        return question_groups(cast("Sequence[LabelledQuestion]", examples), found.windows)
    return text_groups(cast("Sequence[LabelledText]", examples), found.tokens, manifest)


def confident_errors(found: Evaluation) -> list[int]:
    """Indices of plainly wrong answers, by falling probability, ties in the order of the examples."""
    wrong = np.flatnonzero(found.outcomes.wrong)
    order = np.argsort(-found.outcomes.confidence[wrong], kind="stable")
    return [int(index) for index in wrong[order][:ERRORS_SHOWN]]


def shortened(text: str) -> str:
    """At most 200 characters, the last a sign that something is missing."""
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 1].rstrip()}…"


def _row(group: Group, pair: Sequence[Evaluation]) -> JsonObject:
    values = {item.variant: item.outcomes.metrics(group.members)[item.outcomes.group_metric] for item in pair}
    return {
        "by": group.by,
        "name": group.name,
        "examples": len(group.members),
        **{variant: round(float(value), METRIC_DIGITS) for variant, value in values.items()},
    }


def _error(
    example: LabelledText | LabelledQuestion, index: int, found: Evaluation, baseline: Evaluation, manifest: Manifest
) -> JsonObject:
    """One example: what was asked, what was expected, what both variants said."""
    if isinstance(example, LabelledQuestion):
        asked = {"text": shortened(example.text), "expected": shortened(example.answers[0].text)}
    else:
        pair = {} if example.text_pair is None else {"text_pair": shortened(example.text_pair)}
        labels = example.label if isinstance(example.label, tuple) else (int(example.label),)
        asked = {"text": shortened(example.text), **pair, "expected": _names(labels, manifest)}
    said = {item.variant: _said(item, index, manifest) for item in (found, baseline)}
    return {**asked, **said, "probability": round(float(found.outcomes.confidence[index]), SCORE_DIGITS)}


def _said(item: Evaluation, index: int, manifest: Manifest) -> str:
    outcomes = item.outcomes
    if isinstance(outcomes, SpanOutcomes):
        return shortened(str(outcomes.answers[index]))
    if isinstance(outcomes, LabelSetOutcomes):
        return _names(np.flatnonzero(outcomes.predicted[index]).tolist(), manifest)
    if isinstance(outcomes, LabelOutcomes):
        return _names((int(outcomes.predicted[index]),), manifest)
    raise TypeError(f"{type(outcomes).__name__} are neither right nor wrong")


def _names(labels: Sequence[int], manifest: Manifest) -> str:
    return ", ".join(manifest.labels[label] for label in labels) or "none"
