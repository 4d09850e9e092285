"""A package from anywhere into a store: every byte verified before and after, and seen whole or not at all."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from intbert.errors import HashMismatchError, PackageError
from intbert.model.manifest import MANIFEST_FILE
from intbert.model.package import Package


def add_package(source: Path, store: Path) -> Package:
    """Copy the package at `source` to <store>/<name>/<version>, the names in its manifest.

    Raises PackageError: its own for a package that must not be used, `version_exists` when the store has that version.
    """
    package = Package.open(source)
    _prove(package)
    destination = store / package.manifest.name / package.manifest.version
    if destination.exists():
        raise _exists(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=".adding-", dir=destination.parent))
    try:
        staged = workplace / package.manifest.version
        staged.mkdir()
        for name in (*package.manifest.files, MANIFEST_FILE):
            _copy_durably(source / name, staged / name)
        _sync(staged)
        if Package.open(staged).sha256 != package.sha256:
            raise HashMismatchError(f"{source} changed while it was copied; add it again")
        _put_in_place(staged, destination)
        _sync(destination.parent)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return Package(directory=destination, manifest=package.manifest, sha256=package.sha256)


def _put_in_place(staged: Path, destination: Path) -> None:
    """One rename shows the whole; it fails when somebody else was faster, since a package is never empty."""
    try:
        staged.rename(destination)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise _exists(destination) from None
        raise


def _exists(destination: Path) -> PackageError:
    return PackageError(f"{destination} exists; a version is never replaced: build another", code="version_exists")


def _prove(package: Package) -> None:
    """What a server would find out only when it loads the package."""
    for name, variant in package.manifest.variants.items():
        if variant.engine == "integer":
            package.program(name)
    package.tokenizer()


def _copy_durably(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
