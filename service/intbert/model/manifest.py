"""The manifest: everything that is known about one package, except the weights themselves.

`manifest.json` is written by `package.write_package`, which fills `files`, `tensors` and the variants' `bytes`. Its own
SHA-256 names the package, since it holds the hash of every other file.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
REPORT_FILE = "report.html"

Task = Literal["text-classification", "question-answering"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
VersionName = Annotated[str, StringConstraints(pattern=r"^\d{1,9}(\.\d{1,9}){0,3}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Record(BaseModel):
    """Base of all parts: frozen, unknown fields refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(Record):
    """Size and hash of one file."""

    bytes: Count
    sha256: Sha256


class TensorEntry(Record):
    """One tensor of the integer program, as stored."""

    dtype: Literal["int8", "int16", "int32"]
    shape: tuple[Count, ...]


class Variant(Record):
    """One way to compute the model."""

    file: str
    engine: Literal["integer", "onnx"]
    parameters: Positive  # of the FP32 original: what bytes are compared with
    stored_dtype: str  # "int8"; "float16" for an FP32 variant stored in half precision
    logit_scale: float | None = Field(default=None, gt=0)  # integer only: real value of one int32 unit
    bytes: Count = 0  # of the file, filled by write_package
    integer_parts: str = ""  # one sentence for the card: what is computed in integers
    float_parts: str = ""  # and what in floating point, or only simulated
    scales: JsonValue = None  # of an integer variant beside the default: as the manifest's
    tensors: dict[str, TensorEntry] = Field(default_factory=dict)  # the same; filled by write_package

    @property
    def bytes_at_fp32(self) -> int:
        """Four bytes a parameter, whatever the file stores."""
        return 4 * self.parameters

    @model_validator(mode="after")
    def _scale_belongs_to_integers(self) -> Self:
        if (self.engine == "integer") != (self.logit_scale is not None):
            raise ValueError("an integer variant needs logit_scale, and no other variant has one")
        return self


class Architecture(Record):
    """Dimensions of the encoder."""

    family: str = "bert"
    vocabulary: Positive
    positions: Positive
    token_types: Positive
    channels: Positive
    layers: Positive
    heads: Positive
    intermediate: Positive


class Calibration(Record):
    """What makes scores honest, found by the build on held-out training data; logits and digests don't depend on it."""

    temperature: float = Field(default=1.0, gt=0)  # real logits are divided by it, of every variant
    null_offset: float = 0.0  # added to the score of 'no answer' of span models, after the division


class Gate(Record):
    """The largest loss of accuracy that this package may have; checked against the card at load."""

    metric: str
    variant: str = "int8"
    baseline: str = "fp32"
    allowed_drop: float  # in the metric's unit; larger is better


class DataFile(Record):
    """A file that the model was trained or evaluated on."""

    name: str
    use: Literal["train", "validation", "calibration", "report"]
    sha256: Sha256
    rows: Count
    licence: str


class Mentor(Record):
    """A larger model that the FP32 model followed in training; no part of the package."""

    model: str
    sha256: Sha256 | None = None
    licence: str


class Member(Record):
    """One of the trainings whose weights were averaged to the FP32 model."""

    seed: int
    base_model: str  # the checkpoint that it began with
    base_model_sha256: Sha256 | None = None


class Provenance(Record):
    """Where the model comes from, complete enough to build it again."""

    base_model: str
    base_model_sha256: Sha256 | None = None
    base_model_licence: str
    mentor: Mentor | None = None
    members: tuple[Member, ...] = ()
    recipe: str  # the recipe's whole text
    seeds: dict[str, int]
    overrides: dict[str, JsonValue] = Field(default_factory=dict)  # of the recipe, given on the command line
    data: tuple[DataFile, ...]
    tool_versions: dict[str, str]
    built_at: str  # ISO 8601, UTC


class Card(Record):
    """What was measured at build time. `metrics`: variant -> metric -> value; `measured`: latency, memory and more."""

    metrics: dict[str, dict[str, float]]
    measured: dict[str, JsonValue] = Field(default_factory=dict)
    notes: str = ""


class KnownAnswer(Record):
    """The self-test before a server gets ready: this text must give logits of this digest on the integer variant.

    For question answering `text` is the question and `text_pair` the context, encoded as one pair.
    """

    text: str
    text_pair: str | None = None
    variant: str = "int8"
    digest: (
        Sha256  # answers.digest_of the int32 logits: (labels,), or (tokens, 2) transposed: all starts, then all ends
    )


class Manifest(Record):
    """One package."""

    format_version: int = FORMAT_VERSION
    arithmetic_version: int
    name: ModelName
    version: VersionName
    task: Task
    problem_type: ProblemType | None = None  # classification only
    labels: tuple[str, ...] = ()  # classification only, in the order of the logits
    max_tokens: Positive  # of one sequence, special tokens included
    architecture: Architecture
    default_variant: str = "int8"
    variants: dict[str, Variant] = Field(min_length=1)
    files: dict[str, FileEntry] = Field(default_factory=dict)  # all but manifest.json; filled by write_package
    tensors: dict[str, TensorEntry] = Field(default_factory=dict)  # of the first integer variant; by write_package
    scales: JsonValue = None  # of the first integer variant: real scales, for export without training
    calibration: Calibration = Calibration()
    gate: Gate
    known_answers: tuple[KnownAnswer, ...] = Field(min_length=1)
    provenance: Provenance
    card: Card

    @model_validator(mode="after")
    def _task_agrees(self) -> Self:
        classifies = self.task == "text-classification"
        if classifies and (not self.labels or self.problem_type is None):
            raise ValueError("text-classification needs labels and problem_type")
        if not classifies and (self.labels or self.problem_type is not None):
            raise ValueError(f"{self.task} has neither labels nor problem_type")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from each other")
        return self

    @model_validator(mode="after")
    def _variants_exist(self) -> Self:
        named = {self.default_variant, self.gate.variant, self.gate.baseline, *(k.variant for k in self.known_answers)}
        if missing := sorted(named - set(self.variants)):
            raise ValueError(f"default_variant, gate or known_answers name variants that are not there: {missing}")
        for variant in (self.gate.variant, self.gate.baseline):
            if self.gate.metric not in self.card.metrics.get(variant, {}):
                raise ValueError(f"the card has no {self.gate.metric} of {variant}, which the gate is about")
        return self

    def output_scale(self, variant: str) -> float:
        """Real value of one unit of a variant's logits, calibrated: what a softmax is taken of."""
        return (self.variants[variant].logit_scale or 1.0) / self.calibration.temperature

    def tensors_of(self, variant: str) -> dict[str, TensorEntry]:
        """The tensors of an integer variant's file."""
        return self.variants[variant].tensors or self.tensors

    def scales_of(self, variant: str) -> JsonValue:
        """The real scales of an integer variant; None where none were kept."""
        entry = self.variants[variant]
        return entry.scales if entry.tensors else self.scales

    @property
    def integer_variants(self) -> list[str]:
        """Names of the variants that compute integers only."""
        return [name for name, variant in self.variants.items() if variant.engine == "integer"]

    @property
    def gate_drop(self) -> float:
        """Baseline less variant, in the metric's unit."""
        metrics = self.card.metrics
        return metrics[self.gate.baseline][self.gate.metric] - metrics[self.gate.variant][self.gate.metric]
