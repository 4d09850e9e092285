"""The store finds models and versions, and says what there is when one is missing."""

from pathlib import Path

import pytest

from intbert.errors import InputError, ManifestError, NotFoundError, UnsafePathError
from intbert.model.store import ModelStore
from tests.model.packages import make_package


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    """1.10 is newer than 1.9, and the newest is the default."""
    for version in ("1.9", "1.10", "1"):
        make_package(tmp_path, version=version)
    store = ModelStore(tmp_path)
    assert store.versions("tiny") == ["1", "1.9", "1.10"]
    assert store.open("tiny").manifest.version == "1.10"
    assert store.open("tiny", "1").manifest.version == "1"


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    """Model and version have codes of their own."""
    make_package(tmp_path)
    store = ModelStore(tmp_path)
    with pytest.raises(NotFoundError, match="known: tiny") as caught:
        store.open("huge")
    assert caught.value.code == "model_not_found"
    with pytest.raises(NotFoundError, match="known: 1") as caught:
        store.open("tiny", "2")
    assert caught.value.code == "version_not_found"


@pytest.mark.parametrize("name", ["../tiny", "tiny/1", ".", "..", "", "tiny\0"])
def test_names_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    """A request's model name is compared with what is there, never joined to a path unseen."""
    make_package(tmp_path / "store")
    make_package(tmp_path)
    with pytest.raises(NotFoundError):
        ModelStore(tmp_path / "store").open(name)


def test_missing_store_is_named(tmp_path: Path) -> None:
    """Not just "no model"."""
    with pytest.raises(NotFoundError, match="no model store at"):
        ModelStore(tmp_path / "nowhere").models()


def test_unfinished_and_foreign_folders_are_no_models(tmp_path: Path) -> None:
    """What a crashed writer left behind, and what is no version, is not seen."""
    make_package(tmp_path)
    (tmp_path / "tiny" / ".writing-x").mkdir()
    (tmp_path / "tiny" / "notes").mkdir()
    (tmp_path / "empty").mkdir()
    store = ModelStore(tmp_path)
    assert store.models() == ["tiny"]
    assert store.versions("tiny") == ["1"]


def test_symbolic_link_to_a_model_is_refused(tmp_path: Path) -> None:
    """Also a link to a version."""
    package = make_package(tmp_path / "real")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "tiny").symlink_to(package.directory.parent)
    with pytest.raises(UnsafePathError):
        ModelStore(tmp_path / "store").open("tiny")
    (tmp_path / "other" / "tiny").mkdir(parents=True)
    (tmp_path / "other" / "tiny" / "1").symlink_to(package.directory)
    with pytest.raises(UnsafePathError):
        ModelStore(tmp_path / "other").open("tiny")


def test_moved_package_is_refused(tmp_path: Path) -> None:
    """A package must stand where its manifest says, or it would answer under another name."""
    package = make_package(tmp_path)
    package.directory.rename(tmp_path / "tiny" / "2")
    with pytest.raises(ManifestError, match="tiny version 1"):
        ModelStore(tmp_path).open("tiny", "2")


def test_default_model_of_a_task_must_be_unique(tmp_path: Path) -> None:
    """With two models a request has to say which."""
    store = ModelStore(tmp_path)
    make_package(tmp_path)
    make_package(tmp_path, name="spans", task="question-answering")
    assert store.default_model("text-classification") == "tiny"
    assert store.default_model("question-answering") == "spans"
    make_package(tmp_path, name="tiny2")
    with pytest.raises(InputError, match="tiny, tiny2") as caught:
        store.default_model("text-classification")
    assert caught.value.code == "model_required"
