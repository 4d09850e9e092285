"""A build whose training is already in a package: further variants, a new card and new scores of the same weights."""

from dataclasses import dataclass, fields
from pathlib import Path

from transformers import PreTrainedModel

from intbert.builder.build import Build, exported_of
from intbert.builder.checkpoint import save_checkpoint
from intbert.builder.failure import BuildError
from intbert.builder.finetune import TEACHER
from intbert.builder.quantise.export import Exported
from intbert.builder.recipe import Recipe
from intbert.builder.stages import JsonObject
from intbert.model.package import Package


@dataclass(kw_only=True)
class TrainedBuild(Build):
    """As a `Build`, but teacher and int8 model are those of `package_of_training`, not trained."""

    package_of_training: Package

    @classmethod
    def of(cls, build: Build, package: Package) -> "TrainedBuild":
        """The recipe, data and stages of `build` around what the package holds. BuildError: it is of another recipe."""
        check_same_model(build.recipe, package)
        given = {item.name: getattr(build, item.name) for item in fields(build)}
        return cls(**given, package_of_training=package)

    def train(self) -> JsonObject:
        """Write the teacher as the FP32 file has it, where a training would have left it."""
        package = self.package_of_training
        self.stages.run("finetune", {"package": package.sha256}, self.restore)
        self.stages.run("quantise", {}, lambda _: {})
        measured = package.manifest.card.measured
        taken = {"name": package.manifest.name, "version": package.manifest.version, "sha256": package.sha256}
        return {
            **({"outliers": measured["outliers"]} if "outliers" in measured else {}),
            "training": {**_object(measured.get("training")), "taken_from": taken},
        }

    def restore(self, folder: Path) -> JsonObject:
        save_checkpoint(self.package_of_training, folder / TEACHER)
        return {}

    def latency(self, draft: Package) -> JsonObject:
        """As it was measured when the package was built, with the processor's name, unless there is a new variant."""
        kept = self.package_of_training.manifest
        if set(draft.manifest.variants) <= set(kept.variants) and "latency" in kept.card.measured:
            return _object(kept.card.measured["latency"])
        return super().latency(draft)

    def exported(self, teacher: PreTrainedModel) -> Exported:
        return exported_of(self.package_of_training)


def check_same_model(recipe: Recipe, package: Package) -> None:
    """BuildError unless the package can have come of the recipe: its name, seed, task and labels."""
    manifest = package.manifest
    wanted: dict[str, tuple[object, object]] = {
        "model.name": (recipe.model.name, manifest.name),
        "seed": (recipe.seed, manifest.provenance.seeds.get("all")),
        "model.tokens_max": (recipe.model.tokens_max, manifest.max_tokens),
    }
    if recipe.model.labels:
        wanted["model.labels"] = (list(recipe.model.labels), list(manifest.labels))
    for field, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise BuildError(f"{package.directory} was built with {field} = {theirs!r}, the recipe has {ours!r}")


def _object(value: object) -> JsonObject:
    return dict(value) if isinstance(value, dict) else {}
