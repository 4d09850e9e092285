"""The model store: <root>/<name>/<version>/, one package each."""

import re
from pathlib import Path

from intbert.errors import InputError, ManifestError, NotFoundError, UnsafePathError
from intbert.model.manifest import MANIFEST_FILE, Task
from intbert.model.package import Package, parse_manifest

VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}")


class ModelStore:
    """Reads the directory on every question, so a package that appears is seen."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def models(self) -> list[str]:
        """Names with at least one version, sorted. NotFoundError when there is no such store."""
        if not self.root.is_dir():
            raise NotFoundError(
                f"no model store at {self.root}; name one with --store or INTBERT_STORE", code="store_not_found"
            )
        folders = [path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return sorted(path.name for path in folders if self.versions(path.name))

    def versions(self, model: str) -> list[str]:
        """Versions of a model, oldest first; [] for an unknown model."""
        folder = self.root / model
        if model not in _names(self.root) or not folder.is_dir():
            return []
        if folder.is_symlink():
            raise UnsafePathError(f"{folder} is a symbolic link; a store must hold its models itself")
        return sorted(filter(VERSION.fullmatch, _names(folder)), key=_version_key)

    def path(self, model: str, version: str | None = None) -> Path:
        """The directory of a version, by default the newest. NotFoundError names what there is."""
        versions = self.versions(model)
        if not versions:
            raise NotFoundError.of("model", model, self.models())
        if version is None:
            return self.root / model / versions[-1]
        if version not in versions:
            raise NotFoundError.of("version", version, versions, where=model)
        return self.root / model / version

    def open(self, model: str, version: str | None = None) -> Package:
        """A verified package. NotFoundError, PackageError."""
        path = self.path(model, version)
        package = Package.open(path)
        if (package.manifest.name, package.manifest.version) != (path.parent.name, path.name):
            raise ManifestError(
                f"{path} holds {package.manifest.name} version {package.manifest.version}; move it to its own place"
            )
        return package

    def models_of_task(self, task: Task) -> list[str]:
        """Models whose newest version is for `task`, by their manifests; nothing else is read."""
        found = []
        for name in self.models():
            path = self.path(name)
            if (path / MANIFEST_FILE).is_file() and parse_manifest(
                (path / MANIFEST_FILE).read_bytes(), path
            ).task == task:
                found.append(name)
        return found

    def default_model(self, task: Task) -> str:
        """The only model of a task. NotFoundError when there is none, InputError when there are several."""
        return only_model(self.models_of_task(task), task)


def only_model(models: list[str], task: Task) -> str:
    """`models` are all of the task."""
    if not models:
        raise NotFoundError(f"the store holds no model for {task}", code="model_not_found", details={"task": task})
    if len(models) > 1:
        raise InputError(
            f"several models are for {task}: name one of {', '.join(models)}",
            code="model_required",
            details={"known": models},
        )
    return models[0]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
