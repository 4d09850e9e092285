"""The stages of a build, and what they share. Stages leave markers in the work directory, so that a build can go on.

mentor     where the recipe has one: a larger model, and its logits of the training examples
finetune   FP32 teacher
quantise   calibration, then quantisation-aware training with the teacher
variant-*  one stage for each further variant that the recipe asks for
export     integer program, FP32 graph, and a draft package that the runtime can open
scores     temperature of the scores, and offset of 'no answer', from held-out training data
verify     the same bits from reference, kernels, ONNX graph and torch twin
evaluate   accuracy of all variants through the runtime, with intervals, on other domains, by kind of example
measure    latency, memory, error of each layer
(write)    card, report, and the package in the store, atomically
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.numpy import save
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from intbert.builder.backbone import load_tokenizer
from intbert.builder.card import (
    FP32,
    INT8,
    Ingredients,
    draft_manifest,
    measure_latency,
    measure_memory,
    verify_package,
)
from intbert.builder.data import read_bytes
from intbert.builder.evaluation import evaluate_variants, lengths_of
from intbert.builder.failure import BuildError
from intbert.builder.families import load_bert
from intbert.builder.features import Feature
from intbert.builder.finetune import HISTORY_FILE, TEACHER, finetune
from intbert.builder.fp32_graph import export_fp32
from intbert.builder.layer_report import layer_report, tensor_report
from intbert.builder.members import average_checkpoints, recipe_of
from intbert.builder.mentor import guided_features, train_mentor
from intbert.builder.mentor_logits import LOGITS_FILE, MentorLogits
from intbert.builder.prepared import PreparedData, prepare, prepare_questions
from intbert.builder.quantise import Scales, export_program
from intbert.builder.quantise.export import Exported
from intbert.builder.recipe import MemberSection, MentorSection, Recipe
from intbert.builder.report import render_report
from intbert.builder.score_calibration import calibrate_labels, calibrate_spans, uncalibrated
from intbert.builder.stages import JsonObject, Stages
from intbert.builder.student import load_student, train_student
from intbert.builder.variants import build_variant
from intbert.builder.variants.contract import BuiltVariant, VariantInputs, keep, kept
from intbert.model.manifest import REPORT_FILE, TOKENIZER_FILE, Calibration, Manifest
from intbert.model.package import Package, write_package

RECIPE_SECTIONS_OF_TEACHER = ("seed", "model", "data", "span", "finetune")


@dataclass(kw_only=True)
class Build:
    """A recipe's stages and what they share."""

    recipe: Recipe
    recipe_text: str
    overrides: Mapping[str, Any]
    data_root: Path
    stages: Stages
    progress: bool

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The backbone's."""
        return load_tokenizer(self.recipe)

    @cached_property
    def data(self) -> PreparedData:
        """Read, checked and tokenised."""
        self.stages.say("reading data")
        return prepare(self.recipe, self.data_root, self.tokenizer)

    def package(self, destination: Path, *, replace: bool) -> Package:
        """All stages in order."""
        stages = self.stages
        trained = self.train()
        variants: dict[str, BuiltVariant] = {name: self.variant(name) for name in self.recipe.variants}
        stages.run("export", self.export_inputs(), partial(self.export, variants))
        scores = stages.run("scores", {}, self.scores)
        verified = stages.run("verify", {}, self.verify)
        evaluated = stages.run("evaluate", self.evaluate_inputs(), self.evaluate)
        measured = stages.run("measure", {}, self.measure)
        draft = self.draft()
        card = draft.manifest.card.model_copy(
            update={
                "metrics": evaluated["metrics"],
                "measured": {
                    **evaluated["measured"],
                    **measured,
                    "calibration": scores["found"],
                    "verification": verified,
                    **trained,
                    "variants": {name: built.measured for name, built in variants.items()},
                },
            }
        )
        manifest = draft.manifest.model_copy(update={"card": card})
        return self.write(draft, manifest, destination, replace=replace)

    def train(self) -> JsonObject:
        """The teacher, then the model in integers: what every further variant and the package are made of.

        Returns what the card says of it (`card.measured`).
        """
        sections = self.sections()
        sources = {name: source.sha256 for name, source in self.data.sources.items()}
        teacher_inputs = {**{key: sections[key] for key in RECIPE_SECTIONS_OF_TEACHER}, "sources": sources}
        mentor = self.recipe.mentor
        training: JsonObject = {}
        if mentor is not None:
            training["mentor"] = self.stages.run("mentor", self.mentor_inputs(sources), partial(self.mentor, mentor))
        self.stages.run("finetune", teacher_inputs, self.finetune)
        quantised = self.stages.run("quantise", sections["quantise"] or {}, self.quantise)
        training["student"] = quantised.pop("student")
        return {**quantised, "training": training}

    def sections(self) -> JsonObject:
        """The recipe's, without defaults, so that a new optional field does not invalidate finished training."""
        given = self.recipe.model_dump(mode="json", exclude_defaults=True)
        return {name: given.get(name) for name in type(self.recipe).model_fields}

    def teacher(self) -> PreTrainedModel:
        """What `finetune` left."""
        return load_bert(self.teacher_folder, spans=self.recipe.model.problem_type == "span_qa")

    @property
    def teacher_folder(self) -> Path:
        return self.stages.folder / "finetune" / TEACHER

    def draft(self) -> Package:
        """What `export` left, its scores calibrated once `scores` is done."""
        draft = Package.open(self.draft_folder(self.stages.folder / "export"))
        found = self.stages.result("scores")
        if found is None:
            return draft
        calibration = Calibration.model_validate(found["calibration"])
        return replace(draft, manifest=draft.manifest.model_copy(update={"calibration": calibration}))

    def draft_folder(self, folder: Path) -> Path:
        return folder / self.recipe.model.name / str(self.recipe.model.version)

    def mentor_inputs(self, sources: Mapping[str, str]) -> JsonObject:
        """What the mentor's logits depend on: not on how the FP32 model follows them."""
        recipe, sections = self.recipe, self.sections()
        kept = self.recipe.mentor and self.recipe.mentor.logits
        return {
            **({"logits": sha256(read_bytes(Path(kept))).hexdigest()} if kept else {}),
            **{key: sections[key] for key in ("data", "span", "mentor")},
            "seed": sections["mentor"].get("seed", sections["seed"]),
            "task": [recipe.model.problem_type, recipe.model.labels, recipe.model.backbone],
            "tokens_max": recipe.finetune.tokens_max,
            "sources": dict(sources),
        }

    def mentor(self, section: MentorSection, folder: Path) -> JsonObject:
        said = self.said_by_mentor(section, folder)
        said.save(folder / LOGITS_FILE)
        return dict(said.found)

    def said_by_mentor(self, section: MentorSection, folder: Path) -> MentorLogits:
        """As an earlier build kept it, or from training the mentor."""
        if section.logits is not None:
            return MentorLogits.load(Path(section.logits), self.guided_texts())
        return train_mentor(
            self.recipe,
            section,
            labels=self.data.labels,
            tokenizer=self.tokenizer,
            train=self.data.train,
            variations=self.data.variations,
            holdout=self.data.holdout,
            folder=folder,
            progress=self.progress,
            say=self.stages.say,
        )

    def guided_texts(self) -> Sequence[Feature]:
        """What a mentor speaks of: the training examples, then its variations of them."""
        return [*self.data.train, *self.data.variations]

    @cached_property
    def train_features(self) -> Sequence[Feature]:
        """What fine-tuning trains on, with the mentor's logits where there is one."""
        if self.recipe.mentor is None:
            return self.data.train
        texts = self.guided_texts()
        said = MentorLogits.load(self.stages.folder / "mentor" / LOGITS_FILE, texts)
        return guided_features(texts, said.logits, spans=self.recipe.model.problem_type == "span_qa")

    def finetune(self, folder: Path) -> JsonObject:
        members = self.recipe.finetune.members
        if members:
            trained = [self.train_member(member, folder / f"seed-{member.seed}") for member in members]
            average_checkpoints(trained, folder / TEACHER)
        else:
            self.train_teacher(self.recipe, self.data, self.train_features, folder)
        return {}

    def train_member(self, member: MemberSection, folder: Path) -> Path:
        """One of the trainings whose weights are averaged, unless an interrupted build has finished it."""
        if (folder / TEACHER / HISTORY_FILE).exists():
            return folder / TEACHER
        self.stages.say(f"finetune: member with seed {member.seed}")
        recipe = recipe_of(self.recipe, member)
        if recipe.model.problem_type != "span_qa":
            return self.train_teacher(recipe, self.data, self.train_features, folder)
        data = prepare_questions(recipe, self.data_root, self.tokenizer, member.files)
        return self.train_teacher(recipe, data, data.train, folder)

    def train_teacher(self, recipe: Recipe, data: PreparedData, train: Sequence[Feature], folder: Path) -> Path:
        only_averaged = len(data.train) - len(data.train_first)
        return finetune(
            recipe,
            labels=data.labels,
            tokenizer=self.tokenizer,
            train=train,
            train_first=train[: len(train) - only_averaged],
            holdout=data.holdout,
            work_dir=folder,
            head_seed=self.recipe.seed,
            resume=True,
            progress=self.progress,
            say=self.stages.say,
        )

    def quantise(self, folder: Path) -> JsonObject:
        log = train_student(
            self.recipe,
            teacher=self.teacher(),
            tokenizer=self.tokenizer,
            data=self.data,
            folder=folder,
            progress=self.progress,
            say=self.stages.say,
        )
        losses = [{key: entry[key] for key in ("step", "loss") if key in entry} for entry in log.history]
        return {"student": losses, "outliers": [tensor.to_json() for tensor in log.tensors]}

    def variant(self, name: str) -> BuiltVariant:
        """One further variant, by a stage of its own that depends on training but on no other variant."""
        stage = f"variant-{name}"
        section = self.sections().get(name)  # a variant that is trained has one of its name
        inputs = {
            "variant": name,
            "calibration_examples": self.recipe.quantise.calibration_examples,
            **({} if section is None else {"section": section}),
        }
        return kept(self.stages.branch(stage, inputs, partial(self.make_variant, name)), self.stages.folder / stage)

    def make_variant(self, name: str, folder: Path) -> JsonObject:
        inputs = VariantInputs(
            recipe=self.recipe,
            teacher=self.teacher(),
            tokenizer=self.tokenizer,
            data=self.data,
            folder=folder,
            progress=self.progress,
            say=self.stages.say,
        )
        return keep(build_variant(name, inputs), folder)

    def export_inputs(self) -> JsonObject:
        """What the package depends on beside training; without what is not there, so that old builds stay valid."""
        optional = {"variants": list(self.recipe.variants), "overrides": dict(self.overrides)}
        return {
            "report": self.sections()["report"],
            "recipe": self.recipe_text,
            **{key: value for key, value in optional.items() if value},
        }

    def export(self, variants: Mapping[str, BuiltVariant], folder: Path) -> JsonObject:
        teacher = self.teacher()
        exported = self.exported(teacher)
        tokenizer_json = (self.teacher_folder / "tokenizer.json").read_bytes()
        fp32 = folder / "fp32.onnx"
        export_fp32(teacher, fp32)
        parts = Ingredients(
            recipe=self.recipe,
            recipe_text=self.recipe_text,
            overrides=self.overrides,
            data=self.data,
            config=teacher.config,
            parameters=teacher.num_parameters(),
            exported=exported,
            tokenizer_json=tokenizer_json,
            variants=variants,
        )
        files: dict[str, bytes | Path] = {
            "int8.safetensors": save(exported.program.tensors()),
            "fp32.onnx": fp32,
            TOKENIZER_FILE: tokenizer_json,
            **{built.file: built.content for built in variants.values()},
        }
        write_package(self.draft_folder(folder), draft_manifest(parts), files, replace=True)
        fp32.unlink()
        return {}

    def exported(self, teacher: PreTrainedModel) -> Exported:
        """The integer program of what `quantise` left."""
        return export_program(load_student(self.recipe, teacher, self.stages.folder / "quantise"))

    def scores(self, _: Path) -> JsonObject:
        draft, data, kind = self.draft(), self.data, self.recipe.model.problem_type
        if kind == "span_qa":
            found = calibrate_spans(draft, INT8, data.holdout_questions, lengths_of(self.recipe.span))
        elif kind == "single_label_classification":
            found = calibrate_labels(draft, INT8, data.holdout)
        else:
            found = uncalibrated(len(data.holdout))
        return {"calibration": found.calibration.model_dump(), "found": found.found}

    def verify(self, _: Path) -> JsonObject:
        return verify_package(self.draft(), self.data, self.recipe.report.verify_texts)

    def evaluate_inputs(self) -> JsonObject:
        """Files of other domains, which nothing before this stage depends on."""
        found = {name: item.sources for name, item in self.data.elsewhere.items()}
        return {"elsewhere": {name: [source.sha256 for source in sources.values()] for name, sources in found.items()}}

    def evaluate(self, _: Path) -> JsonObject:
        return evaluate_variants(self.draft(), self.recipe, self.data)

    def measure(self, _: Path) -> JsonObject:
        draft = self.draft()
        exported = exported_of(draft)
        texts = [(item["input_ids"], item["token_type_ids"]) for item in self.data.dev_features]
        few, teacher = texts[: self.recipe.report.error_texts], self.teacher()
        return {
            "latency": self.latency(draft),
            "memory": measure_memory(draft),
            "layer_error": layer_report(exported, teacher, few),
            "tensor_cost": tensor_report(exported, teacher, few),
        }

    def latency(self, draft: Package) -> JsonObject:
        """Of all variants on this machine."""
        return measure_latency(draft, self.recipe.shapes_to_bench)

    def write(self, draft: Package, manifest: Manifest, destination: Path, *, replace: bool) -> Package:
        """The draft's files with card and report, into the store."""
        names = [variant.file for variant in manifest.variants.values()] + [TOKENIZER_FILE]
        files: dict[str, bytes | Path] = {name: draft.read(name) for name in names}
        files[REPORT_FILE] = render_report(manifest)
        package = write_package(destination, manifest, files, replace=replace)
        metric = manifest.gate.metric
        ours, theirs = (manifest.card.metrics[name][metric] for name in (INT8, FP32))
        self.stages.say(f"wrote {destination}: {metric} {ours:.2f} int8, {theirs:.2f} FP32")
        return package


def exported_of(package: Package) -> Exported:
    """The integer program of a package with its real scales."""
    scale = package.manifest.variants[INT8].logit_scale
    if scale is None or not isinstance(package.manifest.scales, dict):
        raise BuildError(f"{package.directory} keeps no real scales; build it again")
    program = package.program(INT8)
    return Exported(program=program, scales=Scales.from_json(package.manifest.scales, program), logit_scale=scale)
