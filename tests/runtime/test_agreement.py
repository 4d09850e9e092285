"""When two variants say the same."""

import numpy as np
import pytest

from intbert.runtime.agreement import Opinion, agreement, best
from intbert.runtime.answers import ModelRef, Timings, Usage
from intbert.runtime.classify import ClassifyResult, LabelScore
from intbert.runtime.qa import Answer
from intbert.runtime.queue import Output


def opinion(variant: str, labels: list[str], logits: list[list[float]], *, scale: float, windows: list[int]) -> Opinion:
    """One label an input, and the logits of all their sequences."""
    result = ClassifyResult(
        model=ModelRef(name="m", version="1", variant=variant, sha256="0" * 64),
        results=tuple((LabelScore(label=label, score=1.0),) for label in labels),
        usage=tuple(Usage(tokens=3, windows=count) for count in windows),
        digests=None,
        logits=(),
        labels=("a", "b"),
        timings=Timings(begun_s=0, tokenize_s=0, queue_s=0, compute_s=0, computed_s=0, postprocess_s=0),
    )
    outputs = [
        Output(logits=np.array(row), queue_s=0, compute_s=0, batch_tokens=3, batch_sequences=1) for row in logits
    ]
    return Opinion(variant=variant, result=result, outputs=outputs, logit_scale=scale)


def test_labels_and_logits_are_compared_input_by_input() -> None:
    """In real units: each variant's logits count at its own scale."""
    int8 = opinion("int8", ["a", "b"], [[100, 0], [0, 300]], scale=0.01, windows=[1, 1])
    fp32 = opinion("fp32", ["a", "a"], [[1.5, 0.0], [3.25, 3.0]], scale=1.0, windows=[1, 1])
    found = agreement(fp32, int8)
    assert [item.agrees for item in found.per_input] == [True, False]
    assert [item.logit_abs_diff for item in found.per_input] == [0.5, 3.25]
    assert (found.agreeing, found.share, found.logit_abs_diff_max) == (1, 0.5, 3.25)


def test_all_windows_of_an_input_count() -> None:
    """The largest difference may be in any window of the document, and belongs to that document alone."""
    first = opinion("a", ["a", "a"], [[0], [0], [0]], scale=1.0, windows=[2, 1])
    other = opinion("b", ["a", "a"], [[1], [4], [2]], scale=1.0, windows=[2, 1])
    assert [item.logit_abs_diff for item in agreement(first, other).per_input] == [4, 2]


def test_the_best_of_each_task() -> None:
    """A label, or a place; a score is no part of the decision, and something else is a fault of ours."""
    assert best([LabelScore(label="x", score=0.1)]) == "x"
    one, two = (Answer(answer="x", score=score, start=3, end=4) for score in (0.1, 0.9))
    assert best([one]) == best([two]) == (3, 4)
    assert best([]) is None
    with pytest.raises(TypeError):
        best(["x"])
