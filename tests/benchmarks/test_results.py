"""From a result file to tables, plots and the page."""

from pathlib import Path

import pytest

from benchmarks.engines.catalog import ONNX_FUSED, ONNX_PLAIN, OURS, OURS_ALL_TOKENS
from benchmarks.models import ROOT, find_model, work_of
from benchmarks.page import page_text, write_page
from benchmarks.plots import draw
from benchmarks.results import Case, Document, Memory, Stream
from benchmarks.summary import against_fp32, against_int8, bars, memory_share, saving, share_of_peak, thread_gain
from benchmarks.table import markdown, tables

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
PAGE = ROOT / "docs" / "benchmarks.md"


def case(threads: int = 1) -> Case:
    """Two rounds, the second twice as slow for everyone."""
    base = {OURS: 1.0, OURS_ALL_TOKENS: 1.25, ONNX_PLAIN: 6.0, ONNX_FUSED: 5.0, "openvino-int8": 2.0}
    times_ms = {name: [time / threads, 2 * time / threads] for name, time in base.items()}
    return Case(model="minilm", batch=1, tokens=128, threads=threads, times_ms=times_ms, peak_gops=[2500.0, 1250.0])


def document() -> Document:
    """Every part once."""
    return Document(
        measured_at="2020-02-02T00:00:00+00:00",
        command="python -m benchmarks",
        commit="abc",
        machine={
            "cpu": "a CPU",
            "family": "1",
            "model": "2",
            "cores": 2,
            "flags": [],
            "memory_gib": 1,
            "system": "Linux",
            "load_at_start": 0.0,
        },
        versions={"python": "3.11"},
        settings={"rounds": 2, "turn_s": 0.1, "stream_rounds": 1, "stream_sequences": 4},
        cases=(case(), case(threads=2)),
        streams=(
            Stream(
                model="minilm",
                threads=1,
                batch=16,
                padded_over_real=2.3,
                tokens_per_s={OURS: [900.0], ONNX_PLAIN: [100.0], "openvino-int8": [300.0]},
            ),
        ),
        memory=(
            Memory(model="minilm", engine=OURS, peak_bytes=[40], bytes=[30]),
            Memory(model="minilm", engine=ONNX_PLAIN, peak_bytes=[100], bytes=[90]),
        ),
        failures={"minilm torch-fp32 1": "not installed"},
    )


def test_a_document_survives_its_file(tmp_path: Path) -> None:
    """Saved and loaded it is the same, and another format is refused."""
    path = tmp_path / "result.json"
    document().save(path)
    assert tables(Document.load(path)) == tables(document())
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 0'), encoding="utf-8")
    with pytest.raises(ValueError, match="format 0"):
        Document.load(path)


def test_ratios_are_taken_against_the_best() -> None:
    """The fused graph is the faster one here, and OpenVINO the only int8 peer."""
    fp32, int8 = against_fp32(case()), against_int8(case())
    assert fp32 is not None
    assert (fp32.best, fp32.ratio.median) == (ONNX_FUSED, 5)
    assert int8 is not None
    assert (int8.best, int8.ratio.median) == ("openvino-int8", 2)
    gained = saving(case())
    assert gained is not None
    assert gained.median == 1.25


def test_shares_of_the_peak_count_what_is_computed() -> None:
    """Ours by the work that is needed, a peer by all of it, each round over that round's peak."""
    work = work_of(find_model("minilm"), [128])
    ours, theirs = share_of_peak(case(), OURS), share_of_peak(case(), "openvino-int8")
    assert ours is not None
    assert theirs is not None
    assert ours.median == pytest.approx(work.needed / 1e6 / 2500)
    assert theirs.median == pytest.approx(work.full / 2e6 / 2500)


def test_gain_of_threads_and_share_of_memory() -> None:
    """Two threads are twice as fast here; our process takes 40 % of ONNX Runtime's."""
    found = document()
    assert thread_gain(found, found.cases[0]) is None
    assert thread_gain(found, found.cases[1]) == 2
    assert memory_share(found, found.memory[0]) == pytest.approx(0.4)


def test_targets_name_the_worst_shape() -> None:
    """Every target has its figure, and says whether it was held."""
    found = {bar.what: bar for bar in bars(document())}
    fp32 = found["MiniLM-L6: against ONNX Runtime FP32"]
    assert (fp32.reached, fp32.held) == (5, True)
    mixed = found["mixed lengths in batches of 16: against the best int8 peer"]
    assert (mixed.reached, mixed.held) == (3, True)


def test_tables_are_rectangular() -> None:
    """Every line of a table has as many cells as its header."""
    text = markdown(["a", "bb"], [["1", "2"], ["333", "4"]])
    assert len({len(line) for line in text.splitlines()}) == 1
    for block in tables(document()).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_plots_are_drawn_the_same_twice() -> None:
    """An SVG a model and number of threads, without a date or a random name in it."""
    first, second = draw(document()), draw(document())
    assert first == second
    assert set(first) == {f"{kind}-minilm-{threads}.svg" for kind in ("speed", "peak") for threads in (1, 2)}
    assert all(svg.lstrip().startswith("<?xml") for svg in first.values())


def test_the_page_shows_conditions_and_plots(tmp_path: Path) -> None:
    """Everything needed to judge a figure is on the page, and every picture it shows exists."""
    written = write_page(document(), tmp_path / "result.json", tmp_path / "benchmarks.md")
    text = written[0].read_text(encoding="utf-8")
    for wanted in ("a CPU", "commit `abc`", "python 3.11", "## How it is measured", "not installed"):
        assert wanted in text
    for picture in written[1:]:
        assert f"(benchmarks/{picture.name})" in text


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_can_be_read(path: Path) -> None:
    """Old results stay readable: a change of the format must convert them."""
    found = Document.load(path)
    assert found.cases
    assert "intbert int8" in tables(found)


def test_the_committed_page_is_generated() -> None:
    """Nobody edits the page: rendering the result that it names gives the same text."""
    text = PAGE.read_text(encoding="utf-8")
    source = ROOT / text.split("Generated from `")[1].split("`")[0]
    plots = sorted(path.name for path in PAGE.with_suffix("").glob("*.svg"))
    assert page_text(Document.load(source), source, PAGE.stem, plots) == text
