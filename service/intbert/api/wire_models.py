"""What goes over the wire at GET /models and at the probes. More members may be there: packages say more with time."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class VariantEntry(BaseModel):
    """One variant of a version."""

    model_config = ConfigDict(extra="allow")

    file: str
    bytes: int
    sha256: str
    engine: str = Field(description="For example native:avx512_vnni or onnxruntime.")
    integer_only: bool
    loaded: bool
    default: bool


class ModelEntry(BaseModel):
    """One version of a model. A broken one has only name, version, error, code, and no variants."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    variants: dict[str, VariantEntry]
    task: str = Field(default="", description="text-classification or question-answering.")
    problem_type: str | None = None
    labels: list[str] = Field(default=[], description="In the order of the logits.")
    max_tokens: int = Field(default=0, description="Longest input; for questions the longest window.")
    default: bool = Field(default=False, description="Requests of its task that name no model get this one.")
    sha256: str = ""
    card: dict[str, Any] = Field(default={}, description="Measured accuracy, by variant.")
    error: str = Field(default="", description="Why this version can't be used.")
    code: str = ""


class Kernels(BaseModel):
    """Kernel sets of the integer engine."""

    active: str | None
    available: list[str]


class ThreadPlan(BaseModel):
    """Workers under load, threads for a request alone, and why."""

    workers: int
    threads_alone: int
    reason: str


class Machine(BaseModel):
    """What computes."""

    kernels: Kernels
    threads: ThreadPlan


class ModelsResponse(BaseModel):
    """Every version of every model in the store."""

    models: list[ModelEntry]
    machine: Machine


class ModelResponse(BaseModel):
    """Every version of one model."""

    name: str
    versions: list[ModelEntry]
    machine: Machine


class ProbeResponse(BaseModel):
    """Nothing more to say."""

    status: str
