"""`build`: recipe and data in, package out, all stages in order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from intbert.builder.build import Build
from intbert.builder.failure import BuildError
from intbert.builder.recipe_file import load_recipe, smoke
from intbert.builder.stages import Stages
from intbert.builder.trained import TrainedBuild
from intbert.model.package import Package
from intbert.model.store import ModelStore


def build(
    *,
    recipe_path: Path,
    store: Path,
    work_dir: Path,
    data_root: Path | None = None,
    resume: bool = False,
    replace: bool = False,
    small: bool = False,
    seed: int | None = None,
    variants: Sequence[str] | None = None,
    trained: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Package:
    """Build the recipe's package into `store` and return it, verified.

    data_root: where relative data paths start, instead of the recipe's `data.data_root`. work_dir: checkpoints and
    stages; with `resume` finished stages are skipped. replace: overwrite this version in the store. small: `--smoke`.
    seed, variants: instead of the recipe's. trained: a version in the store whose weights are taken; nothing is
    trained.
    Raises RecipeError, DataError, BackboneError, MemoryShortageError, BuildError; PackageError when it
    breaks its gate.
    """
    run = open_build(
        recipe_path=recipe_path,
        work_dir=work_dir,
        data_root=data_root,
        resume=resume,
        small=small,
        seed=seed,
        variants=variants,
        progress=progress,
        say=say,
    )
    model = run.recipe.model
    destination = store / model.name / str(model.version)
    if destination.exists() and not replace:
        raise BuildError(f"{destination} exists; raise model.version in the recipe, or replace it")
    if trained is not None:
        run = TrainedBuild.of(run, ModelStore(store).open(model.name, trained))
    return run.package(destination, replace=replace)


def open_build(
    *,
    recipe_path: Path,
    work_dir: Path,
    data_root: Path | None = None,
    resume: bool = False,
    small: bool = False,
    seed: int | None = None,
    variants: Sequence[str] | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Build:
    """A build whose stages can be run one by one; parameters and errors as of `build`, data is read when needed."""
    recipe_text = recipe_path.read_text(encoding="utf-8") if recipe_path.is_file() else ""
    given = {"seed": seed, "variants": None if variants is None else list(variants)}
    overrides = {name: value for name, value in given.items() if value is not None}
    recipe = load_recipe(recipe_path, overrides)
    if small:
        recipe = smoke(recipe)
    return Build(
        recipe=recipe,
        recipe_text=recipe_text,
        overrides=overrides,
        data_root=data_root or Path(recipe.data.data_root),
        stages=Stages(folder=work_dir, resume=resume, say=say),
        progress=progress,
    )
