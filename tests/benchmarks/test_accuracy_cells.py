"""Cells of a tiny model, trained, exported and evaluated for real."""

from pathlib import Path

import pytest

from benchmarks.accuracy.__main__ import run_group
from benchmarks.accuracy.cells import Cell, Task
from benchmarks.accuracy.measure import Place, Workshop
from benchmarks.accuracy.records import load_records
from benchmarks.accuracy.schedule import Group
from intbert.builder.failure import BuildError
from intbert.builder.pipeline import build
from intbert.model.package import Package
from tests.builder.conftest import write_checkpoint, write_sentiment
from tests.builder.tiny_recipes import SENTIMENT

SEED = 5
CELLS = tuple(Cell(task="tiny", variant=variant, seed=SEED) for variant in ("fp32", "int8", "ptq"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipe, data and the records of all cells, made once."""
    place = tmp_path_factory.mktemp("cells")
    checkpoint = write_checkpoint(place / "checkpoint")
    (place / "tiny-minilm-l6.toml").write_text(SENTIMENT.format(checkpoint=checkpoint), encoding="utf-8")
    write_sentiment(place)
    (place / "elsewhere.tsv").write_bytes((place / "dev.tsv").read_bytes())
    assert make(place, CELLS) == 0
    return place


def make(folder: Path, cells: tuple[Cell, ...], store: Path | None = None) -> int:
    """Exit code of the command on these cells."""
    task = Task(
        name="tiny",
        label="Tiny",
        metrics=("accuracy",),
        recipes=folder,
        own_seeds=(SEED,),
    )
    place = Place(work=folder / "work", data=folder, store=store)
    return run_group(Group(cells=cells), place, folder / "records", again=False, small=False, threads=1, tasks=(task,))


def test_cells_leave_complete_records(folder: Path) -> None:
    """Each variant has its own file, accuracy on both sets, and the same teacher; int8 is smaller."""
    records = load_records(folder / "records")
    assert set(records) == set(CELLS)
    fp32, int8, ptq = (records[cell] for cell in CELLS)
    assert min(fp32.score.metrics["accuracy"], int8.score.metrics["accuracy"]) > 80
    assert fp32.elsewhere["elsewhere.tsv"] == fp32.score
    assert (fp32.teacher_sha256, fp32.data_sha256) == (int8.teacher_sha256, int8.data_sha256)
    assert set(fp32.data_sha256) == {"train.tsv", "dev.tsv", "elsewhere.tsv"}
    assert fp32.engine == "onnxruntime"
    assert int8.engine.startswith("native")
    assert int8.file_sha256 != fp32.file_sha256
    assert int8.size_bytes < int8.fp32_bytes
    assert set(int8.stage_s) == {"finetune", "quantise"}
    assert set(ptq.stage_s) == {"finetune", "variant-ptq"}
    assert ptq.teacher_sha256 == fp32.teacher_sha256
    assert not ptq.elsewhere


def test_work_directory_is_that_of_a_build_with_this_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `build` trained from the recipe with the seed replaced is used, and again nothing is trained."""
    recipe = (folder / "tiny-minilm-l6.toml").read_text(encoding="utf-8")
    replaced = folder / "replaced"
    replaced.mkdir()
    (replaced / "tiny-minilm-l6.toml").write_text(recipe.replace("seed = 3", f"seed = {SEED}"), encoding="utf-8")
    before = load_records(folder / "records")
    for name in ("work", "train.tsv", "dev.tsv", "elsewhere.tsv"):
        (replaced / name).symlink_to(folder / name)
    assert make(replaced, CELLS) == 0
    said = capsys.readouterr()
    assert "finetune: already done" in said.err
    assert "quantise: already done" in said.err
    assert "variant-ptq: already done" in said.err
    again = load_records(replaced / "records")
    assert [again[cell].file_sha256 for cell in CELLS] == [before[cell].file_sha256 for cell in CELLS]


def test_a_cell_that_fails_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next cell is made, compared with its earlier record, and the command ends with 1."""
    unknown = Cell(task="tiny", variant="not-a-variant", seed=SEED)
    assert make(folder, (unknown, CELLS[1])) == 1
    said = capsys.readouterr()
    assert f"{unknown}: failed" in said.err
    assert f"{CELLS[1]}: accuracy" in said.out
    assert "within the spread" in said.out


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    """The package of what the cells were trained for."""
    build(
        recipe_path=folder / "tiny-minilm-l6.toml",
        store=folder / "store",
        work_dir=folder / "work" / f"tiny-{SEED}",
        data_root=folder,
        resume=True,
        seed=SEED,
        progress=False,
    )
    return folder / "store"


def test_cells_of_a_bundled_package_train_nothing(folder: Path, store: Path, tmp_path: Path) -> None:
    """Teacher and int8 are the package's, byte for byte, and a variant is calibrated from that teacher."""
    for name in ("tiny-minilm-l6.toml", "train.tsv", "dev.tsv", "elsewhere.tsv"):
        (tmp_path / name).symlink_to(folder / name)
    assert make(tmp_path, CELLS, store) == 0
    records, trained = load_records(tmp_path / "records"), load_records(folder / "records")
    package = Package.open(store / "tiny" / "1")
    for cell in CELLS[:2]:
        file = package.manifest.variants[cell.variant].file
        assert records[cell].file_sha256 == package.manifest.files[file].sha256
        assert records[cell].score == trained[cell].score
        assert not records[cell].stage_s
    assert set(records[CELLS[2]].stage_s) == {"variant-ptq"}
    assert records[CELLS[0]].command == f"make results CELL={CELLS[0]} ARGS=--bundled"
    assert len({records[cell].teacher_sha256 for cell in CELLS}) == 1


def test_a_package_of_another_seed_is_refused(folder: Path, store: Path, tmp_path: Path) -> None:
    """The message names both."""
    task = Task(name="tiny", label="Tiny", metrics=("accuracy",), recipes=folder, own_seeds=(6,))
    place = Place(work=tmp_path, data=folder, store=store)
    with pytest.raises(BuildError, match="was built with seed = 5, the recipe has 6"):
        Workshop.open(task, 6, place, small=False, threads=1, say=lambda _: None)
