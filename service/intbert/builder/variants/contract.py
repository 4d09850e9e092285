"""What a builder of a variant gets and gives, and how the stage keeps it between two runs of a build."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from intbert.builder.prepared import PreparedData
from intbert.builder.recipe import Recipe
from intbert.builder.stages import JsonObject


@dataclass(frozen=True, kw_only=True)
class VariantInputs:
    """What a variant may be made from. Nothing may be chosen by the dev data."""

    recipe: Recipe
    teacher: PreTrainedModel  # FP32, in evaluation mode; a builder that trains copies it
    tokenizer: PreTrainedTokenizerFast
    data: PreparedData
    folder: Path  # of the stage: checkpoints may be here when an earlier run was interrupted
    progress: bool
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class BuiltVariant:
    """One file and what the manifest says about it."""

    file: str  # its name in the package
    content: bytes | Path
    engine: Literal["integer", "onnx"]
    stored_dtype: str
    integer_parts: str  # one sentence: what is computed in integers
    float_parts: str  # one sentence: what is computed, or only simulated, in floating point
    logit_scale: float | None = None  # integer engine only
    scales: JsonValue = None  # integer engine only: real scales, for export without training
    measured: dict[str, JsonValue] = field(default_factory=dict)  # what was chosen and why, for the card


FIELDS = ("file", "engine", "stored_dtype", "integer_parts", "float_parts", "logit_scale", "scales", "measured")


def keep(built: BuiltVariant, folder: Path) -> JsonObject:
    """Write the file to `folder`; returns the rest as the result of the stage."""
    content = built.content if isinstance(built.content, bytes) else built.content.read_bytes()
    (folder / built.file).write_bytes(content)
    return {name: getattr(built, name) for name in FIELDS}


def kept(result: JsonObject, folder: Path) -> BuiltVariant:
    """What `keep` wrote."""
    return BuiltVariant(content=folder / result["file"], **result)
