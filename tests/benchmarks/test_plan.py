"""What a run measures, and the work that it counts."""

import numpy as np
import pytest

from benchmarks.engines.catalog import CATALOG, OURS, OURS_AVX2
from benchmarks.models import Shape, find_model, work_of
from benchmarks.plan import Plan, make_plan, runs_in_turn
from benchmarks.stream import TOKENS_MAX, TOKENS_MIN, generator, in_batches, random_lengths, random_rows
from benchmarks.worker import memory


def plan(**changes: object) -> Plan:
    """The default plan with other words of the command line."""
    words = {"models": "", "shapes": "", "threads": "", "engines": "", "rounds": None, "quick": False}
    return make_plan(**{**words, "available_avx2": True, **changes})  # type: ignore[arg-type]


def test_by_default_everything_is_measured() -> None:
    """Three models, one and two threads, every engine of the catalogue, at least 15 rounds."""
    found = plan()
    assert [model.name for model in found.models] == ["minilm", "base", "large"]
    assert found.threads == (1, 2)
    assert set(found.engines) == {entry.name for entry in CATALOG}
    assert found.budget.rounds >= 15
    assert [str(shape) for shape in found.shapes_of(found.models[2])] == ["1x128"]


def test_avx2_kernels_are_measured_at_one_shape_and_only_where_they_run() -> None:
    """At (1,128) alone, and not at all on another CPU."""
    found = plan()
    model = found.models[0]
    assert OURS_AVX2 in found.engines_at(model, Shape(batch=1, tokens=128))
    assert OURS_AVX2 not in found.engines_at(model, Shape(batch=1, tokens=16))
    assert OURS_AVX2 not in plan(available_avx2=False).engines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "gpt"}, "no model 'gpt'; choose from minilm"),
        ({"engines": "intbert,tvm"}, "no engine 'tvm'"),
        ({"engines": "onnx-fp32"}, "must include intbert"),
        ({"shapes": "8by128"}, "'8by128' is not BATCHxTOKENS"),
        ({"threads": "0"}, "'0' is no positive number"),
    ],
)
def test_wrong_words_are_named(changes: dict[str, object], message: str) -> None:
    """The message says which word, and what would do."""
    with pytest.raises(ValueError, match=message):
        plan(**changes)


def test_a_quick_run_is_short() -> None:
    """One model, two shapes, few rounds, but every engine."""
    found = plan(quick=True)
    assert len(found.models) == 1
    assert len(found.shapes_of(found.models[0])) == 2
    assert OURS in found.engines


def test_runs_fill_a_turn() -> None:
    """Short runs are repeated, long ones run once, and none is repeated without end."""
    assert runs_in_turn(0.01, 0.1) == 10
    assert runs_in_turn(3.0, 0.1) == 1
    assert runs_in_turn(1e-9, 0.1) == 200


def test_work_of_one_token() -> None:
    """One token alone is needed in full: both counts agree with the sum by hand."""
    model = find_model("minilm")
    layer = 2 * (4 * 384 * 384 + 2 * 384 * 1536) + 4 * 384
    work = work_of(model, [1])
    assert work.full == work.needed == 6 * layer + 2 * 384 * 384


def test_the_saving_is_a_seventh_of_six_layers() -> None:
    """In the last of six layers keys and values are left, a sixth of a layer's products."""
    work = work_of(find_model("minilm"), [128])
    assert 0.13 < 1 - work.needed / work.full < 0.15


def test_mixed_lengths_have_the_stated_distribution() -> None:
    """Mean 40 within a twentieth, within the limits, the same from the same seed, padded 2.3 times in batches of 16."""
    lengths = random_lengths(generator(5), 16000)
    assert lengths == random_lengths(generator(5), 16000)
    assert min(lengths) >= TOKENS_MIN
    assert max(lengths) <= TOKENS_MAX
    assert np.mean(lengths) == pytest.approx(40, rel=0.05)
    padded = sum(16 * max(batch) for batch in np.reshape(lengths, (-1, 16)))
    assert padded / sum(lengths) == pytest.approx(2.3, abs=0.1)


def test_rows_are_distinct() -> None:
    """No engine can answer from a cache: every row has other tokens."""
    rows = random_rows(generator(1), [8] * 32, 30522)
    assert len({row.tobytes() for row in rows}) == 32
    assert [len(batch) for batch in in_batches(rows, 20)] == [20, 12]


def test_memory_of_this_process() -> None:
    """The peak is at least what is resident now."""
    found = memory()
    assert 0 < found["bytes"] <= found["peak_bytes"]
