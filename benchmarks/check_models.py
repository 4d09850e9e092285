"""`python -m benchmarks.check_models`: are the store's models as good as their cards say? For `make check-models`.

Every package's int8 and FP32 are evaluated again on its report files, as its recipe says. It fails when a file is not
the one that the manifest names, when a metric is lower than the card's by more than the tolerance, or when int8 breaks
the gate.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.models import STORE
from intbert.builder.evaluation import evaluate_set
from intbert.builder.prepared import ReportSet, load_elsewhere, load_report_set
from intbert.builder.recipe import Recipe
from intbert.builder.recipe_file import parse_recipe
from intbert.errors import IntbertError
from intbert.model.manifest import Gate, Manifest
from intbert.model.package import Package
from intbert.model.store import ModelStore

# Points by which a metric may be lower than the card's. Integers are exact; floats depend on processor and library.
TOLERANCE_POINTS = {"integer": 0.01, "onnx": 0.1}
Metrics = Mapping[str, float]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a card says of one set: variant -> metric -> percent."""

    name: str
    data: ReportSet
    metrics: Mapping[str, Metrics]


def main(
    models: Annotated[list[str] | None, typer.Argument(help="Names in the store. None: all.")] = None,
    store: Annotated[Path, typer.Option(help="The models' packages.")] = STORE,
    data: Annotated[Path, typer.Option(help="Where the recipes' data paths start.")] = Path("../data"),
    threads: Annotated[int, typer.Option(min=1, help="Threads to compute with.")] = 1,
) -> None:
    """Evaluate every version of the models again; exit code 1 with what does not hold."""
    packages = ModelStore(store)
    found: list[str] = []
    try:
        for name in models or packages.models():
            packages.path(name)  # NotFoundError for a name that is not there
            for version in packages.versions(name):
                found += check_version(packages, name, version, data, threads=threads, say=typer.echo)
    except IntbertError as error:
        found.append(error.message)
    for complaint in found:
        typer.echo(f"check-models: {complaint}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo("check-models: every card holds")


def check_version(store: ModelStore, name: str, version: str, data_root: Path, *, threads: int, say: Say) -> list[str]:
    """What does not hold of one version; a package or file that can't be read is a complaint too."""
    try:
        package = store.open(name, version)
        return [f"{name}/{version}: {text}" for text in complaints(package, data_root, threads=threads, say=say)]
    except IntbertError as error:
        return [f"{name}/{version}: {error.message}"]


def complaints(package: Package, data_root: Path, *, threads: int, say: Say) -> Iterator[str]:
    """Files first: figures on other data would say nothing. Raises RecipeError, DataError."""
    manifest = package.manifest
    recipe = recipe_of(manifest)
    claims = claims_of(manifest, recipe, data_root)
    changed = [text for claim in claims for text in changed_files(manifest, claim.data)]
    if changed:
        yield from changed
        return
    for claim in claims:
        metrics = {}
        for variant in (manifest.gate.variant, manifest.gate.baseline):
            metrics[variant] = evaluate_set(package, variant, claim.data.examples, recipe, threads=threads).metrics
            yield from lower_metrics(manifest, claim, variant, metrics[variant], say)
        if claim is claims[0]:
            yield from broken_gate(manifest.gate, metrics)


def recipe_of(manifest: Manifest) -> Recipe:
    """The recipe that the package was built from, as it was overridden. RecipeError for one that can't be read."""
    provenance = manifest.provenance
    return parse_recipe({**tomllib.loads(provenance.recipe), **provenance.overrides}, f"of {manifest.name}")


def claims_of(manifest: Manifest, recipe: Recipe, data_root: Path) -> list[Claim]:
    """The dev data, then each file of another domain that the card has figures of."""
    dev = load_report_set(recipe, recipe.data.dev, data_root, manifest.labels)
    measured: Any = manifest.card.measured.get("elsewhere") or {"files": {}}
    others = load_elsewhere(recipe, data_root, manifest.labels)
    return [
        Claim(name=", ".join(recipe.data.dev), data=dev, metrics=manifest.card.metrics),
        *(
            Claim(name=file, data=others[file], metrics={name: said["metrics"] for name, said in figures.items()})
            for file, figures in measured["files"].items()
        ),
    ]


def changed_files(manifest: Manifest, data: ReportSet) -> Iterator[str]:
    """Files whose content is not that of the build."""
    listed = {file.name: file.sha256 for file in manifest.provenance.data}
    for name, source in data.sources.items():
        if source.sha256 != listed.get(name):
            expected = listed.get(name, "nothing of such a file")
            yield f"{name} is another file: its SHA-256 is {source.sha256}, the manifest has {expected}"


def lower_metrics(manifest: Manifest, claim: Claim, variant: str, found: Metrics, say: Say) -> Iterator[str]:
    """Metrics that are lower than the card's by more than the tolerance."""
    tolerance = TOLERANCE_POINTS[manifest.variants[variant].engine]
    said = claim.metrics[variant]
    figures = ", ".join(f"{metric} {value:.2f} (card {said[metric]:.2f})" for metric, value in found.items())
    say(f"{manifest.name}/{manifest.version}, {claim.name}, {variant}: {figures}")
    for metric, value in found.items():
        if said[metric] - value > tolerance:
            yield (
                f"{metric} of {variant} on {claim.name} is {value:.4f}, the card says {said[metric]:.4f}; "
                f"allowed are {tolerance} points less"
            )


def broken_gate(gate: Gate, found: Mapping[str, Metrics]) -> Iterator[str]:
    """The variant's loss against the baseline on the dev data, as measured now."""
    drop = found[gate.baseline][gate.metric] - found[gate.variant][gate.metric]
    if drop > gate.allowed_drop:
        yield (
            f"{gate.variant} loses {drop:.4f} points of {gate.metric} against {gate.baseline}, "
            f"the gate allows {gate.allowed_drop}"
        )


if __name__ == "__main__":
    typer.run(main)
