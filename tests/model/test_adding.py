"""A package gets into a store whole and verified, or not at all."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from intbert.errors import PackageError
from intbert.model.adding import add_package
from intbert.model.store import ModelStore
from tests.model.packages import edit_manifest, make_package


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_copy_is_the_package(tmp_path: Path) -> None:
    """Byte for byte, at its own place, from a directory of any name; the store is made if it has to be."""
    source = make_package(tmp_path / "built").directory
    moved = source.rename(tmp_path / "download")
    package = add_package(moved, tmp_path / "store")
    assert package.directory == tmp_path / "store" / "tiny" / "1"
    assert contents(package.directory) == contents(moved)
    assert ModelStore(tmp_path / "store").open("tiny").sha256 == package.sha256
    assert [path.name for path in package.directory.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda d: (d / "fp32.onnx").write_bytes(b"x" * (d / "fp32.onnx").stat().st_size), "hash_mismatch"),
        (lambda d: (d / "notes.txt").write_text("x"), "file_extra"),
        (lambda d: (d / "tokenizer.json").unlink(), "file_missing"),
        (lambda d: edit_manifest(d, arithmetic_version=2), "arithmetic_version_unknown"),
        (lambda d: edit_manifest(d, tensors={}), "tensors_malformed"),
    ],
)
def test_a_bad_package_leaves_no_trace(tmp_path: Path, damage: Callable[[Path], object], code: str) -> None:
    """The package's own error, and a store as it was."""
    source = make_package(tmp_path / "built").directory
    damage(source)
    with pytest.raises(PackageError) as caught:
        add_package(source, tmp_path / "store")
    assert caught.value.code == code
    assert not (tmp_path / "store").exists()


def test_a_version_is_never_replaced(tmp_path: Path) -> None:
    """Servers may be reading it."""
    old = make_package(tmp_path / "store").directory
    before = contents(old)
    source = make_package(tmp_path / "built", seed=9).directory
    with pytest.raises(PackageError, match="never replaced") as caught:
        add_package(source, tmp_path / "store")
    assert caught.value.code == "version_exists"
    assert contents(old) == before


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    """The version is whole whoever looks, and the others are told or overtaken, without a half copy."""
    source = make_package(tmp_path / "built").directory
    failures: list[Exception] = []

    def add() -> None:
        try:
            add_package(source, tmp_path / "store")
        except (PackageError, OSError) as error:
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(failures) == 5
    assert all(isinstance(error, PackageError) for error in failures)
    assert contents(ModelStore(tmp_path / "store").path("tiny")) == contents(source)
    assert [path.name for path in (tmp_path / "store" / "tiny").iterdir()] == ["1"]
