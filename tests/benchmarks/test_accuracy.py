"""The table of accuracy: cells, records, figures, page."""

from pathlib import Path

import pytest

from benchmarks.accuracy.cells import FP32, INT8, TASKS, Cell, all_cells, find_task
from benchmarks.accuracy.page import page_text, signed
from benchmarks.accuracy.published import load_published
from benchmarks.accuracy.records import FOLDER, Record, load_records, path_of
from benchmarks.accuracy.schedule import groups_of
from benchmarks.accuracy.summary import Table, bars, behind, verdict
from benchmarks.models import ROOT
from intbert.builder.recipe_file import load_recipe
from intbert.model.store import ModelStore
from tests.benchmarks.accuracy_records import everything, record

PAGE = ROOT / "docs" / "results.md"
MRPC, SQUAD = find_task("mrpc"), find_task("squad")


def test_cells_are_named_and_complete() -> None:
    """Three seeds of four tasks and one of two, eight variants; a name survives its text."""
    cells = all_cells()
    assert len(cells) == len(set(cells)) == (4 * 3 + 2) * 8
    assert all(Cell.parse(str(cell)) == cell for cell in cells)
    assert find_task("sst2").seeds == (7,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mrpc/int8", "not TASK/VARIANT/SEED"),
        ("mrpc/int8/one", "not TASK/VARIANT/SEED"),
        ("wnli/int8/0", "unknown task 'wnli'; there are sst2"),
        ("mrpc/int4/0", "unknown variant 'int4'"),
    ],
)
def test_wrong_cells_are_named(text: str, message: str) -> None:
    """The message says what is wrong, and what there is."""
    with pytest.raises(ValueError, match=message):
        Cell.parse(text)


def test_records_survive_their_files(tmp_path: Path) -> None:
    """Saved and loaded they are the same, and another format is refused."""
    records = everything()
    for item in records.values():
        item.save(tmp_path)
    assert load_records(tmp_path) == records
    path = path_of(Cell(task="rte", variant="ptq", seed=2), tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 0'), encoding="utf-8")
    with pytest.raises(ValueError, match="format 0"):
        load_records(tmp_path)


def test_figures_are_over_seeds_and_differences_within_them() -> None:
    """FP32 differs by a point from seed to seed; the difference to it does not."""
    table = Table(records=everything())
    level, difference = table.figure(MRPC, "dq", "f1"), table.difference(MRPC, "dq")
    assert level is not None
    assert (level.mean, level.deviation, level.seeds) == (80.0, 1.0, 3)
    assert difference is not None
    assert (difference.mean, difference.deviation) == (-1.0, 0.0)
    single = table.figure(SQUAD, INT8, "f1")
    assert single is not None
    assert single.deviation is None


def test_mean_of_tasks_needs_every_task() -> None:
    """One absent task leaves no mean; its absent cells are listed."""
    records = everything()
    assert Table(records=records).mean_difference("ptq") == pytest.approx(-4)
    gone = Cell(task="squad", variant="ptq", seed=SQUAD.seeds[0])
    table = Table(records={cell: item for cell, item in records.items() if cell != gone})
    assert table.mean_difference("ptq") is None
    assert table.mean("ptq") is None
    assert table.missing() == [gone]
    gone = Cell(task="mrpc", variant="dq", seed=2)
    two = Table(records={cell: item for cell, item in records.items() if cell != gone})
    assert "-1.00 ± 0.00 (2 of 3 seeds)" in page_text(two)


def test_other_teachers_are_not_compared() -> None:
    """A cell made of another teacher than its FP32 cell gives no difference, and the page says so."""
    cell = Cell(task="mrpc", variant="ptq", seed=1)
    table = Table(records={**everything(), cell: record(cell, 10.0, teacher_sha256="another")})
    difference = table.difference(MRPC, "ptq")
    assert difference is not None
    assert (difference.mean, difference.seeds) == (-4.0, 2)
    assert table.unpaired() == [cell]
    assert "another teacher" in page_text(table)


def test_promises_are_judged() -> None:
    """Held where the made-up figures say so, missed where a variant is too far below, open where cells are missing."""
    records = everything()
    assert all(bar.held for bar in bars(Table(records=records)))
    worse = {c: record(c, 75.0 + c.seed) if c.variant == "mp-ptq" else item for c, item in records.items()}
    found = {bar.what: bar for bar in bars(Table(records=worse))}
    assert not found["mp-ptq - FP32, mean of the tasks"].held
    assert found["int8 - ptq, SQuAD F1"].reached == pytest.approx(4.25)
    assert {bar.reached for bar in bars(Table(records={}))} == {None}
    assert not any(bar.held for bar in bars(Table(records={})))


def test_tasks_where_int8_is_not_better_are_named() -> None:
    """As good is not better."""
    records = everything()
    cell = Cell(task="squad", variant="dq", seed=SQUAD.seeds[0])
    assert behind(Table(records=records), "dq") == "none"
    equal = records[Cell(task="squad", variant=INT8, seed=SQUAD.seeds[0])].score.metrics["f1"]
    assert behind(Table(records={**records, cell: record(cell, equal)}), "dq") == "SQuAD 1.1"
    assert behind(Table(records={}), "dq") == "not all measured"


def test_a_repeated_cell_is_judged_by_the_spread() -> None:
    """Two deviations of MRPC's seeds are two points; a task with one seed has one point."""
    table = Table(records=everything())
    cell = Cell(task="mrpc", variant=FP32, seed=0)
    assert verdict(table, record(cell, 78.1)).within
    off = verdict(table, record(cell, 77.9))
    assert not off.within
    assert "earlier record 80.00: OUTSIDE the spread of 2.00" in off.text
    assert not verdict(table, record(Cell(task="squad", variant=INT8, seed=SQUAD.seeds[0]), 90.0)).within
    assert verdict(Table(records={}), record(cell, 1.0)).within


def test_groups_share_a_teacher() -> None:
    """One group a teacher; first seeds first, long tasks first; only q8bert trains for itself."""
    groups = groups_of(all_cells())
    assert len(groups) == 4 * 3 + 2
    assert [group.cells[0].task for group in groups[:3]] == ["squad", "sst2", "cola"]
    for group in groups:
        assert len({(cell.task, cell.seed) for cell in group.cells}) == 1
        assert [cell.variant for cell in group.trained] == ["q8bert"]
        assert sorted((*group.untrained, *group.trained)) == sorted(group.cells)
    assert sorted(cell for group in groups for cell in group.cells) == sorted(all_cells())


def test_page_has_every_part_and_rectangular_tables() -> None:
    """Every line of a table has as many cells as its header, full table or empty one."""
    for table in (Table(records=everything()), Table(records={})):
        text = page_text(table)
        for block in text.split("\n\n"):
            if block.startswith("|"):
                assert len({line.count("|") for line in block.splitlines()}) == 1, block
    text = page_text(Table(records=everything()))
    assert "81.00 ± 1.00" in text
    assert "-4.00 ± 0.00" in text
    assert "missed" not in text
    assert "Not measured" not in text


def test_published_figures_name_our_tasks() -> None:
    """Each value belongs to a task of the table or is an average, and each base is a row beside it."""
    names = {task.name for task in TASKS} | {"average"}
    for source in load_published():
        for row in source.rows:
            assert set(row.values) <= names
            assert row.base is None or row.base in {item.name for item in source.rows}
    q8bert = load_published()[0]
    assert q8bert.difference(q8bert.rows[1], "squad") == pytest.approx(-0.72)


def test_bundled_models_are_cells() -> None:
    """The committed record of a bundled model is that of its very bytes and metrics."""
    store = ModelStore(ROOT / "model_store")
    bundled = {task.recipe.stem: task for task in TASKS if task.recipe.stem in store.models()}
    assert bundled
    records = load_records(FOLDER)
    for name, task in bundled.items():
        cell = Cell(task=task.name, variant=INT8, seed=task.seeds[0])
        if cell in records:
            manifest = store.open(name, str(load_recipe(task.recipe).model.version)).manifest
            assert records[cell].file_sha256 == manifest.files[manifest.variants[INT8].file].sha256
            assert records[cell].score.metrics == manifest.card.metrics[INT8]


def test_no_minus_before_zero() -> None:
    """A difference that rounds to nothing has no sign of loss."""
    assert signed(-0.001) == "+0.00"


def test_the_page_is_made_of_the_committed_records() -> None:
    """docs/results.md is what `make results` writes of the records beside it; each record's file is its cell's."""
    records = load_records(FOLDER)
    assert page_text(Table(records=records)) == PAGE.read_text(encoding="utf-8")
    for cell, item in records.items():
        assert Record.load(path_of(cell, FOLDER)) == item
        assert item.command.removesuffix(" ARGS=--bundled") == f"make results CELL={cell}"
