"""A build whose training is already in a package of the store: further variants are made of the package's own FP32."""

from dataclasses import dataclass, fields
from pathlib import Path

from transformers import PreTrainedModel

from intbert.builder.build import Build, exported_of
from intbert.builder.checkpoint import save_checkpoint
from intbert.builder.quantise.export import Exported
from intbert.builder.stages import JsonObject
from intbert.model.package import Package


@dataclass(kw_only=True)
class BundledBuild(Build):
    """As a `Build`, but teacher and int8 model are those of `package`, not trained."""

    package_of_training: Package

    @classmethod
    def of(cls, build: Build, package: Package) -> "BundledBuild":
        """The recipe, data and stages of `build` around what the package holds."""
        given = {item.name: getattr(build, item.name) for item in fields(build)}
        return cls(**given, package_of_training=package)

    def train(self) -> JsonObject:
        """Write the teacher as the FP32 file has it, where a training would have left it."""
        self.stages.run("finetune", {"package": self.package_of_training.sha256}, self.restore)
        return self.stages.run("quantise", {}, lambda _: {})

    def restore(self, folder: Path) -> JsonObject:
        save_checkpoint(self.package_of_training, folder / "teacher")
        return {}

    def exported(self, teacher: PreTrainedModel) -> Exported:
        return exported_of(self.package_of_training)
