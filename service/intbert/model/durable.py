"""Files that survive a crash: what was written is on the disk before a rename shows it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workplace_beside(destination: Path, *, prefix: str) -> Iterator[Path]:
    """A directory on the file system of `destination`, which is made up to its parent; gone afterwards."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
    try:
        yield workplace
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def write_durably(path: Path, content: bytes) -> None:
    """A new file; call `sync_directory` when the last one of its directory is written."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def copy_durably(source: Path, target: Path) -> None:
    """As `write_durably`, without holding the content."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())


def sync_directory(directory: Path) -> None:
    """The names in it, too, are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(staged: Path, destination: Path) -> None:
    """One rename shows the whole. OSError (EEXIST, ENOTEMPTY) when a directory with something in it is there."""
    sync_directory(staged)
    staged.rename(destination)
    sync_directory(destination.parent)
