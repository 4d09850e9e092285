"""Labelled examples of either task: read from a file, and evaluated."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from intbert.model.manifest import Manifest
from intbert.model.package import Package
from intbert.runtime.evaluate import Evaluation, Progress, evaluate
from intbert.runtime.evaluate_spans import evaluate_spans
from intbert.runtime.examples import Columns, LabelledText, read_examples
from intbert.runtime.qa import QaParameters
from intbert.runtime.squad import LabelledQuestion, read_squad

Examples = Sequence[LabelledText] | Sequence[LabelledQuestion]  # as the model's task is


def read_labelled(path: Path, manifest: Manifest, columns: Columns | None = None) -> Examples:
    """A file in SQuAD's format for a span model, else a .tsv, .csv or .jsonl file. InputError says what is wrong."""
    return read_squad(path) if manifest.task == "question-answering" else read_examples(path, manifest, columns)


def evaluate_labelled(
    package: Package,
    variant: str,
    examples: Examples,
    parameters: QaParameters | None = None,
    *,
    kernels: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """As `evaluate` or `evaluate_spans`; `parameters` (of spans) default to the service's."""
    if package.manifest.task == "question-answering":
        questions = cast("Sequence[LabelledQuestion]", examples)
        return evaluate_spans(
            package, variant, questions, parameters, kernels=kernels, threads=threads, progress=progress
        )
    texts = cast("Sequence[LabelledText]", examples)
    return evaluate(package, variant, texts, kernels=kernels, threads=threads, progress=progress)
