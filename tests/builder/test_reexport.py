"""Exporting a stored package again."""

from pathlib import Path

from intbert.builder.reexport import reexport_package
from intbert.model.package import Package


def test_same_integers_without_training(built: tuple[Path, Package]) -> None:
    """A package exported again as a new version holds the same integers and opens."""
    folder, package = built
    again = reexport_package(store=folder / "store", model="tiny", version="1", new_version="2")
    assert Package.open(again.directory).manifest.version == "2"
    assert again.manifest.files["int8.safetensors"] == package.manifest.files["int8.safetensors"]
    assert again.manifest.known_answers == package.manifest.known_answers


def test_earlier_arithmetic_version_is_accepted(built: tuple[Path, Package], tmp_path: Path) -> None:
    """A package that a server refuses for its arithmetic version can still be exported again."""
    folder = tmp_path / "tiny" / "1"
    folder.mkdir(parents=True)
    for path in built[1].directory.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(
        manifest.replace('"arithmetic_version": 1', '"arithmetic_version": 0'), encoding="utf-8"
    )
    again = reexport_package(store=tmp_path, model="tiny")
    assert Package.open(again.directory).manifest.arithmetic_version == 1
