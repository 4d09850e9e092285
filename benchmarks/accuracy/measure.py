"""From a cell to its record: train or resume what it needs, export, evaluate through the engines of the service."""

import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import torch

from benchmarks.accuracy.cells import FP32, INT8, Cell, Task
from benchmarks.accuracy.records import Record, Score
from benchmarks.machine import commit, cpu_fields
from intbert.builder.build import Build
from intbert.builder.evaluation import evaluate_set
from intbert.builder.pipeline import open_build
from intbert.builder.stages import DONE_FILE, INPUTS_FILE
from intbert.builder.trained import TrainedBuild
from intbert.model.package import Package
from intbert.model.store import ModelStore
from intbert.runtime.evaluate import Evaluation
from intbert.runtime.labelled import Examples

PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxruntime", "numpy")
ELSEWHERE_VARIANTS = (FP32, INT8)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where things lie. `work`: one folder `<task>-<seed>` each, which all variants of that teacher share.

    store: take teacher and int8 model from the package there that the task's recipe names, instead of training them.
    """

    work: Path
    data: Path
    store: Path | None = None

    def folder(self, cell: Cell) -> Path:
        """The work directory of the cell's build."""
        return self.work / f"{cell.task}-{cell.seed}{'-bundled' if self.store else ''}"

    def is_trained(self, cell: Cell) -> bool:
        """Whether the FP32 teacher and the int8 model are there (of whatever recipe)."""
        return all((self.folder(cell) / stage / DONE_FILE).is_file() for stage in ("finetune", "quantise"))


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """One task with one seed: teacher and data are there, variants can be made."""

    task: Task
    seed: int
    build: Build
    threads: int

    @classmethod
    def open(
        cls, task: Task, seed: int, place: Place, *, small: bool, threads: int, say: Callable[[str], None]
    ) -> "Workshop":
        """Train or resume teacher and int8 model, or take the bundled ones. Raises what a build raises but its gate."""
        torch.set_num_threads(threads)
        build = open_build(
            recipe_path=task.recipe,
            work_dir=place.folder(Cell(task=task.name, variant=FP32, seed=seed)),
            data_root=place.data,
            resume=True,
            small=small,
            seed=seed,
            progress=False,
            say=say,
        )
        if place.store is not None:
            model = build.recipe.model
            bundled = ModelStore(place.store).open(model.name, str(model.version))
            build = TrainedBuild.of(build, bundled)
        build.train()
        return cls(task=task, seed=seed, build=build, threads=threads)

    @property
    def folder(self) -> Path:
        """Of the build's stages."""
        return self.build.stages.folder

    @property
    def is_bundled(self) -> bool:
        """Whether nothing was trained here but what a variant trains for itself."""
        return isinstance(self.build, TrainedBuild)

    def make(self, variant: str) -> None:
        """Run or resume the variant's stage; FP32 and int8 are there already."""
        if variant not in (FP32, INT8):
            self.build.variant(variant)

    @contextmanager
    def package(self, variants: Sequence[str]) -> Iterator[Package]:
        """A package with these variants, for as long as it is looked at: what took time to make stays in the stages."""
        made = {name: self.build.variant(name) for name in variants if name not in (FP32, INT8)}
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="cells-") as folder:
            self.build.export(made, Path(folder))
            yield Package.open(self.build.draft_folder(Path(folder)))

    def record(self, package: Package, variant: str) -> Record:
        """Evaluate one variant."""
        entry = package.manifest.variants[variant]
        found = self._evaluate(package, variant, self.build.data.dev)
        elsewhere = self._elsewhere(package, variant) if variant in ELSEWHERE_VARIANTS else {}
        sources = {name: source.sha256 for name, source in self.build.data.sources.items()}
        others = {name: self.build.data.elsewhere[name].sources[name].sha256 for name in elsewhere}
        cell = Cell(task=self.task.name, variant=variant, seed=self.seed)
        return Record(
            task=cell.task,
            variant=cell.variant,
            seed=cell.seed,
            score=_score(found),
            elsewhere=elsewhere,
            engine=found.engine,
            size_bytes=entry.bytes,
            fp32_bytes=entry.bytes_at_fp32,
            stage_s=self._stage_seconds(variant),
            device=device(),
            command=f"make results CELL={cell}{' ARGS=--bundled' if self.is_bundled else ''}",
            commit=commit(),
            measured_at=datetime.now(UTC).replace(microsecond=0).isoformat(),
            versions=versions(),
            data_sha256=dict(sorted({**sources, **others}.items())),
            teacher_sha256=_sha256(self.folder / "finetune" / "teacher" / "model.safetensors"),
            file_sha256=package.manifest.files[entry.file].sha256,
        )

    def _evaluate(self, package: Package, variant: str, examples: Examples) -> Evaluation:
        return evaluate_set(package, variant, examples, self.build.recipe, threads=self.threads)

    def _elsewhere(self, package: Package, variant: str) -> Mapping[str, Score]:
        found = self.build.data.elsewhere
        return {name: _score(self._evaluate(package, variant, item.examples)) for name, item in found.items()}

    def _stage_seconds(self, variant: str) -> dict[str, float]:
        training: tuple[str, ...] = ("finetune", "quantise") if variant == INT8 else ("finetune",)
        own = () if variant in (FP32, INT8) else (f"variant-{variant}",)
        stages = own if self.is_bundled else (*training, *own)
        return {stage: stage_seconds(self.folder / stage) for stage in stages}


def stage_seconds(folder: Path) -> float:
    """Wall clock between a stage's two markers; counts a pause when the stage was interrupted."""
    return round((folder / DONE_FILE).stat().st_mtime - (folder / INPUTS_FILE).stat().st_mtime, 1)


def device() -> str:
    """What trains here."""
    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name()}"
    fields = cpu_fields()
    name = fields.get("model name", platform.machine())
    return f"CPU: {name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def versions() -> dict[str, str]:
    """Of what decides."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def _score(found: Evaluation) -> Score:
    return Score(metrics=dict(found.metrics), examples=found.examples)


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
