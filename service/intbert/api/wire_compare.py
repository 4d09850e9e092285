"""What goes over the wire at POST /compare."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from intbert.api.wire import ClassifyParameters, ClassifyRequest, LabelScore, Name, Usage
from intbert.api.wire_qa import AnswerSpan, QaParameters, QaRequest

VARIANTS_MAX = 8
Variants = Annotated[
    list[Name] | None,
    Field(
        min_length=1,
        max_length=VARIANTS_MAX,
        description="What to compare, in this order; the first is what the others are compared with. By default all "
        "variants of the model, its default variant first.",
    ),
]


CLASSIFY_EXAMPLES: tuple[dict[str, Any], ...] = (
    {"task": "text-classification", "inputs": "a gripping, beautifully acted film"},
    {
        "task": "text-classification",
        "variants": ["fp32", "int8"],
        "inputs": ["a gripping film", "two hours I will not get back"],
        "parameters": {"top_k": 1},
    },
)
QA_EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "task": "question-answering",
        "variants": ["int8", "fp32"],
        "question": "When did Ada Lovelace write the letter?",
        "context": "Ada Lovelace wrote the letter to Charles Babbage in 1843.",
    },
)


class CompareClassify(ClassifyRequest):
    """The body of /classify, plus `task` and `variants`."""

    model_config = ConfigDict(json_schema_extra={"examples": [*CLASSIFY_EXAMPLES]})

    task: Literal["text-classification"]
    variants: Variants = None

    @model_validator(mode="after")
    def _variants_at_the_top(self) -> "CompareClassify":
        _check_variants(self.variants, self.parameters)
        return self


class CompareQa(QaRequest):
    """The body of /qa, plus `task` and `variants`."""

    model_config = ConfigDict(json_schema_extra={"examples": [*QA_EXAMPLES]})

    task: Literal["question-answering"]
    variants: Variants = None

    @model_validator(mode="after")
    def _variants_at_the_top(self) -> "CompareQa":
        _check_variants(self.variants, self.parameters)
        return self


class CompareRequest(RootModel[Annotated[CompareClassify | CompareQa, Field(discriminator="task")]]):
    """A request of either task, to be answered by several variants of one model."""

    model_config = ConfigDict(json_schema_extra={"examples": [*CLASSIFY_EXAMPLES, *QA_EXAMPLES]})


class StageTimes(BaseModel):
    """Milliseconds of one variant's run; of several inputs the longest wait and the longest compute."""

    tokenize_ms: float
    queue_ms: float
    compute_ms: float
    post_ms: float


class VariantMemory(BaseModel):
    """Bytes as the engine counts them: its weights, and the buffers of all its sessions."""

    weights_bytes: int
    arena_bytes: int


class VariantAnswer(BaseModel):
    """What is said of a variant beside its results."""

    variant: str
    engine: str = Field(description="For example native:avx512_vnni or onnxruntime.")
    integer_only: bool
    digests: list[str] | None = Field(
        description="Integer-only variants: SHA-256 of each input's int32 logits, as at /classify and /qa; else null."
    )
    timings: StageTimes
    memory: VariantMemory


class VariantLabels(VariantAnswer):
    """One variant's labels, one entry per input."""

    results: list[list[LabelScore]]


class VariantSpans(VariantAnswer):
    """One variant's answers, one entry per input."""

    results: list[list[AnswerSpan]]


class InputAgreement(BaseModel):
    """One input, judged by two variants."""

    agrees: bool = Field(description="The best label is the same; for questions the best span.")
    logit_abs_diff: float = Field(description="Largest difference of a logit, in real units.")


class Agreement(BaseModel):
    """One variant compared with the first."""

    variant: str
    compared_with: str
    inputs: int
    agreeing: int
    share: float = Field(description="agreeing / inputs, 0 to 1.")
    logit_abs_diff_max: float
    per_input: list[InputAgreement]


class ComparedModel(BaseModel):
    """Whose variants answered."""

    name: str
    version: str
    sha256: str


class Comparison(BaseModel):
    """What both tasks' comparisons say."""

    model: ComparedModel
    usage: list[Usage] = Field(description="One entry per input, the same for all variants.")
    agreement: list[Agreement] = Field(description="One entry per variant after the first.")


class ClassifyComparison(Comparison):
    """Classification by several variants, one after the other, in the order of `variants`."""

    task: Literal["text-classification"]
    variants: list[VariantLabels]


class QaComparison(Comparison):
    """Questions answered by several variants, one after the other, in the order of `variants`."""

    task: Literal["question-answering"]
    variants: list[VariantSpans]


class CompareResponse(RootModel[Annotated[ClassifyComparison | QaComparison, Field(discriminator="task")]]):
    """Side by side; the shape follows `task`."""


def _check_variants(variants: list[str] | None, parameters: ClassifyParameters | QaParameters) -> None:
    if parameters.variant is not None:
        raise ValueError("name the variants in `variants`, not in parameters.variant")
    if variants is not None and len(set(variants)) < len(variants):
        raise ValueError("variants must differ from each other")
