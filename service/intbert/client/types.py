"""What the service answers, as frozen values. Members that a newer server adds are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """One label and its score."""

    label: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`answer == context[start:end]`; empty with 0, 0 for 'no answer'."""

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one input was in tokens, special tokens included."""

    tokens: int
    windows: int
    truncated: bool
    tokens_dropped: int


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """Who answered."""

    name: str
    version: str
    variant: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What the headers of an answer say."""

    request_id: str = ""
    stages_ms: Mapping[str, float]  # tokenize, queue, compute, post


@dataclass(frozen=True, kw_only=True)
class Classification(Exchange):
    """One entry an input in every tuple, in the order sent; results best first."""

    results: tuple[tuple[LabelScore, ...], ...]
    usage: tuple[Usage, ...]
    model: ServedModel
    digests: tuple[str, ...] | None = None

    @property
    def best(self) -> tuple[LabelScore, ...]:
        """The best label of each input."""
        return tuple(ranked[0] for ranked in self.results)


@dataclass(frozen=True, kw_only=True)
class QuestionAnswers(Exchange):
    """One entry a question in every tuple, in the order sent; results best first."""

    results: tuple[tuple[Answer, ...], ...]
    usage: tuple[Usage, ...]
    model: ServedModel
    digests: tuple[str, ...] | None = None

    @property
    def best(self) -> tuple[Answer, ...]:
        """The best answer to each question."""
        return tuple(ranked[0] for ranked in self.results)


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """Milliseconds of one variant's run."""

    tokenize_ms: float
    queue_ms: float
    compute_ms: float
    post_ms: float


@dataclass(frozen=True, kw_only=True)
class VariantMemory:
    """Bytes as the engine counts them."""

    weights_bytes: int
    arena_bytes: int


@dataclass(frozen=True, kw_only=True)
class ComparedVariant:
    """One variant's answer: labels for a classifier, spans for questions."""

    variant: str
    engine: str
    integer_only: bool
    digests: tuple[str, ...] | None
    timings: StageTimes
    memory: VariantMemory
    results: tuple[tuple[LabelScore | Answer, ...], ...]


@dataclass(frozen=True, kw_only=True)
class InputAgreement:
    """One input, judged by two variants."""

    agrees: bool
    logit_abs_diff: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One variant compared with the first."""

    variant: str
    compared_with: str
    inputs: int
    agreeing: int
    share: float
    logit_abs_diff_max: float
    per_input: tuple[InputAgreement, ...]


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """Whose variants answered."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Comparison(Exchange):
    """Several variants of one model, side by side."""

    task: str
    model: ComparedModel
    usage: tuple[Usage, ...]
    variants: tuple[ComparedVariant, ...]
    agreement: tuple[Agreement, ...]


@dataclass(frozen=True, kw_only=True)
class VariantEntry:
    """One variant of a version."""

    file: str
    bytes: int
    sha256: str
    engine: str
    integer_only: bool
    loaded: bool
    default: bool


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One version of one model. A broken one has an `error` and no variants."""

    name: str
    version: str
    variants: Mapping[str, VariantEntry]
    task: str | None = None
    problem_type: str | None = None
    labels: tuple[str, ...] = ()
    max_tokens: int | None = None
    default: bool = False
    sha256: str | None = None
    error: str | None = None
    code: str | None = None
