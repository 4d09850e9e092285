"""A package from anywhere into a store: every byte verified before and after, and seen whole or not at all."""

import errno
from collections.abc import Callable
from pathlib import Path

from intbert.errors import HashMismatchError, PackageError
from intbert.model.durable import copy_durably, put_in_place, workplace_beside
from intbert.model.manifest import MANIFEST_FILE
from intbert.model.package import Package


def add_package(source: Path, store: Path, *, try_out: Callable[[Package], object] = lambda _: None) -> Package:
    """Copy the package at `source` to <store>/<name>/<version>, the names in its manifest.

    `try_out` gets the verified package before anything is copied; what it raises refuses the package.
    Raises PackageError: its own for a package that must not be used, `version_exists` when the store has that version.
    """
    package = Package.open(source)
    _prove(package)
    try_out(package)
    destination = store / package.manifest.name / package.manifest.version
    if destination.exists():
        raise _exists(destination)
    with workplace_beside(destination, prefix=".adding-") as workplace:
        staged = workplace / package.manifest.version
        staged.mkdir()
        for name in (*package.manifest.files, MANIFEST_FILE):
            copy_durably(source / name, staged / name)
        if Package.open(staged).sha256 != package.sha256:
            raise HashMismatchError(f"{source} changed while it was copied; add it again")
        _show(staged, destination)
    return Package(directory=destination, manifest=package.manifest, sha256=package.sha256)


def _show(staged: Path, destination: Path) -> None:
    """Fails when somebody else was faster, since a package is never empty."""
    try:
        put_in_place(staged, destination)
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
