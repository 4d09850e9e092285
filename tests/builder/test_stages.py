"""Markers of a build's stages."""

from pathlib import Path

import pytest

from intbert.builder.failure import BuildError
from intbert.builder.stages import JsonObject, Stages


def run(folder: Path, inputs: dict[str, int], ran: list[str], *, fail: bool = False) -> None:
    """Two stages, the second with constant inputs."""
    stages = Stages(folder=folder, resume=True, say=lambda _: None)

    def work(name: str) -> JsonObject:
        ran.append(name)
        return {"name": name}

    def second(_: Path) -> JsonObject:
        if fail:
            raise RuntimeError("interrupted")
        return work("second")

    assert stages.run("first", inputs, lambda _: work("first")) == {"name": "first"}
    assert stages.run("second", {}, second) == {"name": "second"}


def test_finished_stages_are_skipped(tmp_path: Path) -> None:
    """The second run of the same build runs nothing."""
    ran: list[str] = []
    run(tmp_path, {"a": 1}, ran)
    run(tmp_path, {"a": 1}, ran)
    assert ran == ["first", "second"]


def test_changed_inputs_run_again_with_all_that_follow(tmp_path: Path) -> None:
    """Other inputs of a stage invalidate it and every later one."""
    ran: list[str] = []
    run(tmp_path, {"a": 1}, ran)
    run(tmp_path, {"a": 2}, ran)
    assert ran == ["first", "second"] * 2


def test_interrupted_stage_keeps_its_folder(tmp_path: Path) -> None:
    """What a stage left before it was interrupted is there when it runs again."""
    ran: list[str] = []
    with pytest.raises(RuntimeError, match="interrupted"):
        run(tmp_path, {"a": 1}, ran, fail=True)
    (tmp_path / "second" / "checkpoint").touch()
    run(tmp_path, {"a": 1}, ran)
    assert ran == ["first", "second"]
    assert (tmp_path / "second" / "checkpoint").exists()


def test_other_inputs_start_with_an_empty_folder(tmp_path: Path) -> None:
    """Checkpoints of another recipe are never continued, and not lost."""
    run(tmp_path, {"a": 1}, [])
    (tmp_path / "first" / "checkpoint").touch()
    run(tmp_path, {"a": 2}, [])
    assert not (tmp_path / "first" / "checkpoint").exists()
    assert (tmp_path / "first.old" / "checkpoint").exists()


def test_half_written_marker_counts_as_none(tmp_path: Path) -> None:
    """A damaged marker makes the stage run again."""
    ran: list[str] = []
    run(tmp_path, {"a": 1}, ran)
    (tmp_path / "second" / "done.json").write_text("{", encoding="utf-8")
    run(tmp_path, {"a": 1}, ran)
    assert ran == ["first", "second", "second"]


def test_without_resume_an_earlier_build_is_refused(tmp_path: Path) -> None:
    """Hours of training are not overwritten by a forgotten option."""
    run(tmp_path, {"a": 1}, [])
    with pytest.raises(BuildError, match="--resume"):
        Stages(folder=tmp_path, resume=False, say=lambda _: None)


def test_branches_do_not_depend_on_each_other(tmp_path: Path) -> None:
    """A stage that branches off is repeated when what is before it changes, never for another branch or its order."""
    runs: list[str] = []

    def build(first: int, *branches: str) -> None:
        stages = Stages(folder=tmp_path, resume=True, say=lambda _: None)
        stages.run("train", {"first": first}, lambda _: runs.append("train") or {})
        for name in branches:
            stages.branch(name, {"name": name}, lambda folder: runs.append(folder.name) or {})
        stages.run("export", {}, lambda _: runs.append("export") or {})

    build(1, "a")
    assert runs == ["train", "a", "export"]
    build(1, "b", "a")
    assert runs == ["train", "a", "export", "b"]
    build(2, "b")
    assert runs == ["train", "a", "export", "b", "train", "b", "export"]
