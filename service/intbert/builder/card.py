"""What a build measures through the runtime, and the manifest that says so."""

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import PretrainedConfig

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.program import Program
from intbert.builder.backbone import locate
from intbert.builder.data import Source
from intbert.builder.failure import BuildError
from intbert.builder.families import family_of
from intbert.builder.footprint import measure_footprint
from intbert.builder.members import recipe_of
from intbert.builder.prepared import PreparedData
from intbert.builder.quantise import Exported, twin_logits
from intbert.builder.recipe import Recipe
from intbert.builder.variants.contract import BuiltVariant
from intbert.model.manifest import (
    Architecture,
    Card,
    DataFile,
    Gate,
    KnownAnswer,
    Manifest,
    Member,
    Mentor,
    Provenance,
    Variant,
)
from intbert.model.package import Package, load_tensors
from intbert.model.tokenizer import Tokenizer
from intbert.runtime.batch import RaggedBatch
from intbert.runtime.bench import bench, parse_shapes
from intbert.runtime.engines import encode_known, known_digest
from intbert.runtime.reference import ReferenceEngine
from intbert.runtime.verify import verify_sequences

KNOWN_TEXTS = (
    ("A gripping, beautifully acted film.", "The film was made in Wales."),
    ("Nothing here works; two hours of my life are gone.", "It took two hours."),
)
FOOTPRINT_TOKENS = 128
TOOLS = ("intbert", "torch", "transformers", "tokenizers", "onnx", "numpy")
MAIN_METRICS = {
    "single_label_classification": "accuracy",
    "multi_label_classification": "f1_micro",
    "regression": "spearman",
    "span_qa": "f1",
}
INT8, FP32 = "int8", "fp32"


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What a manifest is made of before anything is measured."""

    recipe: Recipe
    recipe_text: str
    data: PreparedData
    config: PretrainedConfig
    parameters: int
    exported: Exported
    tokenizer_json: bytes
    overrides: Mapping[str, Any]
    variants: Mapping[str, BuiltVariant]


def draft_manifest(parts: Ingredients) -> Manifest:
    """A complete manifest with zeros for metrics, so that the runtime can open the package and measure it."""
    recipe, config = parts.recipe, parts.config
    spans = recipe.model.problem_type == "span_qa"
    metric = recipe.report.gate_metric or MAIN_METRICS[recipe.model.problem_type]
    return Manifest(
        arithmetic_version=ARITHMETIC_VERSION,
        name=recipe.model.name,
        version=str(recipe.model.version),
        task="question-answering" if spans else "text-classification",
        problem_type=None if spans else recipe.model.problem_type,  # type: ignore[arg-type]  # span_qa is excluded
        labels=() if spans else parts.data.labels or ("score",),
        max_tokens=recipe.model.tokens_max,
        architecture=Architecture(
            family=family_of(config),
            vocabulary=config.vocab_size,
            positions=config.max_position_embeddings,
            token_types=config.type_vocab_size,
            channels=config.hidden_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            intermediate=config.intermediate_size,
        ),
        variants=variants_of(parts),
        scales=parts.exported.scales.to_json(),
        gate=Gate(metric=metric, allowed_drop=recipe.report.gate_allowed_drop),
        known_answers=known_answers(parts),
        provenance=provenance(parts),
        card=Card(metrics={INT8: {metric: 0.0}, FP32: {metric: 0.0}}, notes=recipe.model.description),
    )


def variants_of(parts: Ingredients) -> dict[str, Variant]:
    """The two that every package has, and those that the recipe asked for."""
    further = {
        name: Variant(
            file=built.file,
            engine=built.engine,
            parameters=parts.parameters,
            stored_dtype=built.stored_dtype,
            logit_scale=built.logit_scale,
            integer_parts=built.integer_parts,
            float_parts=built.float_parts,
            scales=built.scales,
        )
        for name, built in parts.variants.items()
    }
    int8 = Variant(
        file="int8.safetensors",
        engine="integer",
        parameters=parts.parameters,
        stored_dtype="int8",
        logit_scale=parts.exported.logit_scale,
        integer_parts="Everything between token ids and int32 logits.",
        float_parts="None.",
    )
    fp32 = Variant(
        file="fp32.onnx",
        engine="onnx",
        parameters=parts.parameters,
        stored_dtype="float16",
        integer_parts="None.",
        float_parts="Everything, in FP32 from half-precision weights.",
    )
    return {INT8: int8, FP32: fp32, **further}


def known_answers(parts: Ingredients) -> tuple[KnownAnswer, ...]:
    """Digests of fixed texts' logits, by the reference: of `int8`, then of every other integer variant."""
    further = {name: built for name, built in parts.variants.items() if built.engine == "integer"}
    answers = answers_of(parts, INT8, parts.exported.program)
    for name, built in further.items():
        content = built.content if isinstance(built.content, bytes) else built.content.read_bytes()
        answers += answers_of(parts, name, Program.from_tensors(load_tensors(content, built.file)))
    return tuple(answers)


def answers_of(parts: Ingredients, variant: str, program: Program) -> list[KnownAnswer]:
    """The known answers of one integer variant."""
    tokenizer = Tokenizer.from_json(parts.tokenizer_json)
    session = ReferenceEngine(program, logit_scale=1.0).session(1)
    paired = parts.recipe.model.problem_type == "span_qa" or parts.recipe.data.columns.text_pair is not None
    answers = []
    for text, second in KNOWN_TEXTS:
        pair = second if paired else None
        sequence = encode_known(tokenizer, text, pair, parts.recipe.model.tokens_max)
        digest = known_digest(session.run(RaggedBatch.of([sequence])))
        answers.append(KnownAnswer(text=text, text_pair=pair, variant=variant, digest=digest))
    return answers


def provenance(parts: Ingredients) -> Provenance:
    """Backbone, data, recipe, seeds and tools."""
    recipe = parts.recipe
    return Provenance(
        base_model=recipe.model.backbone,
        base_model_sha256=_weights_sha256(recipe.model.backbone),
        base_model_licence=recipe.model.licences.get("backbone", "not stated"),
        mentor=mentor_of(recipe),
        members=tuple(member_of(recipe_of(recipe, member)) for member in recipe.finetune.members),
        recipe=parts.recipe_text,
        seeds={"all": recipe.seed},
        overrides=dict(parts.overrides),
        data=tuple(data_files(parts)),
        tool_versions={"python": platform.python_version(), **_versions()},
        built_at=datetime.now(UTC).replace(microsecond=0).isoformat(),
    )


def mentor_of(recipe: Recipe) -> Mentor | None:
    """What the recipe's mentor was made of."""
    if recipe.mentor is None:
        return None
    return Mentor(
        model=recipe.mentor.backbone,
        sha256=_weights_sha256(recipe.mentor.backbone),
        licence=recipe.model.licences.get("mentor", "not stated"),
    )


def member_of(recipe: Recipe) -> Member:
    """What one member was made of; `recipe` is the one that it was trained by."""
    backbone = recipe.model.backbone
    return Member(seed=recipe.seed, base_model=backbone, base_model_sha256=_weights_sha256(backbone))


def data_files(parts: Ingredients) -> Iterator[DataFile]:
    """What was trained on and what is only reported on, other domains last."""
    recipe = parts.recipe
    licence = recipe.model.licences.get("data", "not stated")
    reported = {f"{recipe.data.hub_name}/{name}" if recipe.data.hub_name else name for name in recipe.data.dev}
    for name, source in parts.data.sources.items():
        yield _data_file(name, "report" if name in reported else "train", source, licence)
    for file, found in parts.data.elsewhere.items():
        for name, source in found.sources.items():
            yield _data_file(name, "report", source, recipe.report.licences.get(file, "not stated"))


def _data_file(name: str, use: Literal["train", "report"], source: Source, licence: str) -> DataFile:
    return DataFile(name=name, use=use, sha256=source.sha256, rows=source.rows, licence=licence)


def _versions() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # intbert itself, when it runs from a source tree
            continue
    return found


def _weights_sha256(backbone: str) -> str | None:
    """Of a local checkpoint's weights; None for a hub name, which the revision pins."""
    path = Path(locate(backbone)) / "model.safetensors"
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def verify_package(package: Package, data: PreparedData, texts: int) -> dict[str, Any]:
    """Every integer variant on dev inputs, by all implementations; what is returned is about `int8`, others below.

    Raises BuildError unless all bits agree.
    """
    found = {name: verify_variant(package, name, data, texts) for name in package.manifest.integer_variants}
    further = {name: result for name, result in found.items() if name != INT8}
    return {**found[INT8], **({"variants": further} if further else {})}


def verify_variant(package: Package, variant: str, data: PreparedData, texts: int) -> dict[str, Any]:
    """Reference, kernels, ONNX graph and torch twin of one variant. Raises BuildError unless all bits agree."""
    sequences = data.dev_sequences(texts)
    found = verify_sequences(package, sequences, variant=variant)
    program = package.program(variant)
    digest = sha256()
    for sequence in sequences:
        batch = RaggedBatch.of([sequence])
        logits = twin_logits(program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
        digest.update(np.ascontiguousarray(logits).astype("<i4").tobytes())
    implementations = {**found.implementations, "torch twin": digest.hexdigest()}
    if len(set(implementations.values())) != 1:
        listing = ", ".join(f"{name} {value[:12]}" for name, value in implementations.items())
        raise BuildError(
            f"implementations disagree on the int32 logits of {variant} for {len(sequences)} texts: {listing}"
        )
    return {"texts": len(sequences), "implementations": implementations, "identical": True}


def measure_latency(package: Package, shapes: Sequence[str]) -> dict[str, Any]:
    """Of all variants in turns."""
    return bench(package, parse_shapes(",".join(shapes)), variants=list(package.manifest.variants)).as_json()


def measure_memory(package: Package) -> dict[str, Any]:
    """Of a fresh process with each variant."""
    tokens = min(FOOTPRINT_TOKENS, package.manifest.max_tokens)
    return {name: measure_footprint(package.directory, name, tokens) for name in package.manifest.variants}
