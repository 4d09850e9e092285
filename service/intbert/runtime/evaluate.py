"""Accuracy of one variant on labelled texts, through the engines and batches that the service uses."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.errors import InputError, NotFoundError
from intbert.model.manifest import Manifest
from intbert.model.package import Package
from intbert.model.tokenizer import Tokenizer
from intbert.runtime import outcomes
from intbert.runtime.batch import RaggedBatch, TokenSequence, split_logits
from intbert.runtime.classify import apply_function, default_function
from intbert.runtime.engine import Engine
from intbert.runtime.engines import load_engine, per_token
from intbert.runtime.examples import LabelledText
from intbert.runtime.outcomes import LabelOutcomes, LabelSetOutcomes, Outcomes, ScoreOutcomes
from intbert.runtime.scores import Floats, Indices

BATCH_TOKENS_MAX = 2048
METRIC_DIGITS = 4
Progress = Callable[[int, int], None]  # sequences done, sequences in all


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One variant on one set: what it said to every example; `tokens_per_s` of the engine alone."""

    model: str
    variant: str
    engine: str
    outcomes: Outcomes
    tokens: Indices  # (examples,) computed for each, windows and special tokens included
    windows: Indices  # (examples,) sequences of each
    tokens_per_s: float

    @property
    def examples(self) -> int:
        return len(self.tokens)

    @property
    def metrics(self) -> dict[str, float]:
        """In percent, four digits."""
        return {name: round(float(value), METRIC_DIGITS) for name, value in self.outcomes.metrics().items()}

    def as_json(self) -> dict[str, Any]:
        """A plain document: figures, without the examples."""
        names = ("model", "variant", "engine", "examples", "metrics", "tokens_per_s")
        return {name: getattr(self, name) for name in names}


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """One variant's evaluations of several sets as that of all their examples."""
    tokens = np.concatenate([part.tokens for part in parts])
    elapsed_s = sum(int(part.tokens.sum()) / part.tokens_per_s for part in parts)
    return replace(
        parts[0],
        outcomes=outcomes.joined([part.outcomes for part in parts]),
        tokens=tokens,
        windows=np.concatenate([part.windows for part in parts]),
        tokens_per_s=round(int(tokens.sum()) / elapsed_s, 1),
    )


@dataclass(frozen=True, kw_only=True)
class Computed:
    """Logits in the order of the sequences, and the engine's speed."""

    logits: list[NDArray[Any]]
    tokens_per_s: float


def evaluate(
    package: Package,
    variant: str,
    examples: Sequence[LabelledText],
    *,
    kernels: str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a classifier or regressor; too long texts are truncated. NotFoundError, InputError."""
    manifest = package.manifest
    if manifest.task != "text-classification":
        raise InputError.wrong_task(model=manifest.name, task=manifest.task, wanted="text-classification")
    if not examples:
        raise InputError("there is nothing to evaluate", code="empty_file")
    engine = engine_of(package, variant, kernels=kernels)
    sequences = encode_all(package.tokenizer(), manifest, [(item.text, item.text_pair) for item in examples])
    computed = compute(engine, sequences, threads=threads, per_token=per_token(package), progress=progress)
    logits = np.stack(computed.logits).astype(np.float64) * manifest.output_scale(variant)
    return Evaluation(
        model=manifest.name,
        variant=variant,
        engine=engine.name,
        outcomes=outcomes_of(logits, examples, manifest),
        tokens=np.array([item.tokens for item in sequences]),
        windows=np.ones(len(sequences), dtype=np.int64),
        tokens_per_s=round(computed.tokens_per_s, 1),
    )


def engine_of(package: Package, variant: str, *, kernels: str | None = None) -> Engine:
    """The engine, or NotFoundError that names the variants there are."""
    if variant not in package.manifest.variants:
        raise NotFoundError.of("variant", variant, sorted(package.manifest.variants), where=package.manifest.name)
    return load_engine(package, variant, kernels=kernels, spin=True)


def encode_all(
    tokenizer: Tokenizer, manifest: Manifest, texts: Sequence[tuple[str, str | None]]
) -> list[TokenSequence]:
    """Texts or pairs as sequences, cut to the model's limit."""
    encoded = (
        tokenizer.encode(text, pair, limit_tokens=manifest.max_tokens, truncate=True, field=f"example {index}")
        for index, (text, pair) in enumerate(texts)
    )
    return [TokenSequence(token_ids=item.token_ids, type_ids=item.type_ids) for item in encoded]


def compute(
    engine: Engine,
    sequences: Sequence[TokenSequence],
    *,
    threads: int,
    per_token: bool,
    progress: Progress | None = None,
) -> Computed:
    """All logits, in batches of similar lengths. One short batch runs first and is not timed."""
    session = engine.session(threads)
    session.run(RaggedBatch.of([min(sequences, key=lambda item: item.tokens)]))
    logits: list[NDArray[Any]] = [np.empty(0)] * len(sequences)
    done, elapsed_s = 0, 0.0
    for members in similar_lengths(sequences, BATCH_TOKENS_MAX):
        batch = RaggedBatch.of([sequences[index] for index in members])
        started_s = time.perf_counter()
        result = session.run(batch)
        elapsed_s += time.perf_counter() - started_s
        for index, row in zip(members, split_logits(result, batch, per_token=per_token), strict=True):
            logits[index] = row
        done += len(members)
        if progress is not None:
            progress(done, len(sequences))
    return Computed(logits=logits, tokens_per_s=sum(item.tokens for item in sequences) / max(elapsed_s, 1e-9))


def similar_lengths(sequences: Sequence[TokenSequence], budget_tokens: int) -> Iterator[list[int]]:
    """Indices in batches, sorted by length, each within the budget or alone."""
    members: list[int] = []
    tokens = 0
    for index in sorted(range(len(sequences)), key=lambda item: sequences[item].tokens):
        if members and tokens + sequences[index].tokens > budget_tokens:
            yield members
            members, tokens = [], 0
        members.append(index)
        tokens += sequences[index].tokens
    if members:
        yield members


def outcomes_of(logits: Floats, examples: Sequence[LabelledText], manifest: Manifest) -> Outcomes:
    """logits (examples, labels), real; what counts depends on the problem type."""
    if manifest.problem_type is None or manifest.problem_type == "regression":
        return ScoreOutcomes(predicted=logits[:, 0], expected=np.array([float(_scalar(item)) for item in examples]))
    function = default_function(manifest.problem_type, len(manifest.labels))
    probabilities = np.array([apply_function(row, function) for row in logits.tolist()])
    if manifest.problem_type == "multi_label_classification":
        expected = np.zeros(logits.shape, dtype=bool)
        for row, item in enumerate(examples):
            expected[row, list(item.label) if isinstance(item.label, tuple) else [int(item.label)]] = True
        return LabelSetOutcomes(predicted=logits > 0, expected=expected, probabilities=probabilities)
    wanted = np.array([int(_scalar(item)) for item in examples])
    return LabelOutcomes(predicted=logits.argmax(axis=1), expected=wanted, probabilities=probabilities)


def _scalar(example: LabelledText) -> float:
    if isinstance(example.label, tuple):
        raise InputError("several labels for one text, but the model gives one", code="unknown_label")
    return example.label
