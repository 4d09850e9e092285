"""What sessions accept, what they refuse and how they hold memory."""

import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intbert import _kernels
from intbert.errors import KernelError
from intbert.runtime.native import NativeEngine, supported_kernels
from tests.arithmetic.programs import Dimensions, random_program
from tests.kernels.random_program import batch_of

PROGRAM = random_program(0, Dimensions(channels=64, heads=2, positions=32, vocabulary=50))


def i32(*values: int) -> NDArray[np.int32]:
    return np.array(values, dtype=np.int32)


@pytest.fixture
def session() -> _kernels.Session:
    return _kernels.Session(_kernels.Model(PROGRAM.tensors(), _kernels.available()[0]), 1)


def test_portable_is_always_there() -> None:
    """Sets come best first, and the last one runs everywhere."""
    assert _kernels.available()[-1] == "portable"
    assert set(_kernels.available()) <= set(_kernels.known())


def test_forced_kernels_run() -> None:
    """The name that was asked for is the one that computes; without a name it is the best."""
    for name in supported_kernels():
        assert NativeEngine(PROGRAM, logit_scale=0.5, kernels=name).name == f"native:{name}"
    assert NativeEngine(PROGRAM, logit_scale=0.5, kernels=None).name == f"native:{supported_kernels()[0]}"


def test_unknown_kernels_are_refused() -> None:
    """The message lists what would have worked."""
    with pytest.raises(KernelError, match=r"'avx9000' does not exist; supported here: .*portable") as caught:
        NativeEngine(PROGRAM, logit_scale=1.0, kernels="avx9000")
    assert caught.value.code == "kernel_unknown"
    with pytest.raises(ValueError, match="unknown; supported here"):
        _kernels.Model(PROGRAM.tensors(), "avx9000")


@pytest.mark.parametrize(
    ("token_ids", "type_ids", "ends", "message"),
    [
        (i32(1, 50), i32(0, 0), i32(0, 2), r"token_ids\[1\] is 50, allowed are 0 to 49"),
        (i32(-1), i32(0), i32(0, 1), r"token_ids\[0\] is -1"),
        (i32(1), i32(2), i32(0, 1), r"type_ids\[0\] is 2, allowed are 0 to 1"),
        (i32(1, 2), i32(0), i32(0, 2), "2 token ids but 1 type ids"),
        (i32(1, 2), i32(0, 0), i32(0, 1), "ends at 1, but there are 2 token ids"),
        (i32(1, 2), i32(0, 0), i32(0, 3), "ends at 3, but there are 2 token ids"),
        (i32(1, 2), i32(0, 0), i32(1, 2), "must start at 0, not at 1"),
        (i32(1, 2), i32(0, 0), i32(0, 0, 2), "must rise: sequence 0 runs from 0 to 0"),
        (i32(1, 2), i32(0, 0), i32(0, 2, 1), "must rise: sequence 1 runs from 2 to 1"),
        (i32(1, 2), i32(0, 0), i32(0, -5, 2), "must rise: sequence 0 runs from 0 to -5"),
        (i32(), i32(), i32(0), "holds no sequence"),
        (i32(), i32(), i32(), "holds no sequence"),
        (
            np.ones(33, np.int32),
            np.ones(33, np.int32),
            i32(0, 33),
            "sequence 0 has 33 tokens, the position table allows 32",
        ),
    ],
)
def test_bad_batches(
    session: _kernels.Session,
    token_ids: NDArray[np.int32],
    type_ids: NDArray[np.int32],
    ends: NDArray[np.int32],
    message: str,
) -> None:
    """Whatever could read outside a table is refused with the value that is wrong."""
    with pytest.raises(ValueError, match=message):
        session.run(token_ids, type_ids, ends)


def test_wrong_dtype_is_refused(session: _kernels.Session) -> None:
    """int64 ids are an error, not a silent conversion."""
    with pytest.raises(TypeError):
        session.run(np.array([1]), np.array([0]), np.array([0, 1]))


@pytest.mark.parametrize("threads", [0, 257])
def test_wrong_number_of_threads(threads: int) -> None:
    """Zero threads compute nothing, thousands are a mistake."""
    model = _kernels.Model(PROGRAM.tensors(), "portable")
    with pytest.raises(ValueError, match=f"threads is {threads}, allowed are 1 to 256"):
        _kernels.Session(model, threads)
    with pytest.raises(ValueError, match="threads"):
        NativeEngine(PROGRAM, logit_scale=1.0, kernels=None).session(threads)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layers.0.qkv.weight", None, "layers.0.qkv.weight is missing"),
        ("head.output.bias", None, "head.output.bias is missing"),
        ("layers.0.qkv.weight", np.zeros((192, 63), np.int8), r"has shape \(192, 63\), expected \(192, 64\)"),
        ("layers.0.qkv.bias", np.zeros(191, np.int32), "has 191 values, expected 192"),
        ("layers.0.qkv.bias", np.zeros(192, np.int16), "is int16, expected int32"),
        ("layers.0.qkv.shift", np.full(192, 32, np.int32), "holds 32, allowed are 0 to 31"),
        ("layers.0.gelu.zero_point", np.array(256, np.int32), "is 256, allowed are 0 to 255"),
        ("layers.0.gelu.zero_point", np.zeros(1, np.int32), "has 1 dimensions, expected 0"),
        ("heads", np.array(3, np.int32), "64 channels cannot be divided among 3 heads"),
        ("embedding.word", np.zeros((50, 64), np.float32), "embedding.word must be int8, int16 or int32"),
    ],
)
def test_bad_tensors(name: str, value: NDArray[Any] | None, message: str) -> None:
    """A model that the kernels could not compute safely is refused with the tensor's name."""
    tensors = PROGRAM.tensors()
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    with pytest.raises(ValueError, match=message):
        _kernels.Model(tensors, "portable")


def test_arena_grows_only_for_larger_batches() -> None:
    """In the steady state nothing is allocated; the engine counts the buffers of the sessions that exist."""
    engine = NativeEngine(PROGRAM, logit_scale=1.0, kernels=None)
    session = engine.session(1)
    assert engine.arena_bytes() == 0
    session.run(batch_of(PROGRAM, 1, [5]))
    small = engine.arena_bytes()
    session.run(batch_of(PROGRAM, 1, [32, 32]))
    large = engine.arena_bytes()
    session.run(batch_of(PROGRAM, 1, [5]))
    assert 0 < small < large == engine.arena_bytes()
    del session
    assert engine.arena_bytes() == 0


def test_arena_does_not_grow_with_the_number_of_sequences() -> None:
    """A batch of a hundred sequences needs the buffers of the few that are computed together."""
    sessions = [_kernels.Session(_kernels.Model(PROGRAM.tensors(), "portable"), 1) for _ in range(2)]
    for session, sequences in zip(sessions, (12, 100), strict=True):
        batch = batch_of(PROGRAM, 1, [32] * sequences)
        session.run(batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    assert sessions[0].arena_bytes == sessions[1].arena_bytes


def test_model_outlives_its_tensors() -> None:
    """The arrays may be dropped after loading, although the word table is read in place."""
    program = random_program(1, Dimensions(channels=64, heads=2))
    batch = batch_of(program, 1, [7])
    engine = NativeEngine(program, logit_scale=1.0, kernels=None)
    before = engine.session(1).run(batch).copy()
    del program
    np.testing.assert_array_equal(engine.session(1).run(batch), before)


def test_idle_threads_sleep() -> None:
    """A session with two threads uses no CPU between its runs."""
    session = NativeEngine(PROGRAM, logit_scale=1.0, kernels=None).session(2)
    session.run(batch_of(PROGRAM, 1, [32]))
    time.sleep(0.05)  # the spinning ends far earlier
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_tensors_are_let_go_once_packed() -> None:
    """A model is in memory once while it is loaded: its dict is emptied, and only the word table stays in place."""
    program = random_program(1, Dimensions(channels=64, heads=2))
    tensors = {name: array.copy() for name, array in program.tensors().items()}
    arrays = {name: weakref.ref(array) for name, array in tensors.items()}
    engine = NativeEngine(tensors, logit_scale=1.0, kernels=None)
    assert not tensors
    assert [name for name, array in arrays.items() if array() is not None] == ["embedding.word"]
    batch = batch_of(program, 1, [7])
    expected = NativeEngine(program, logit_scale=1.0, kernels=None).session(1).run(batch)
    np.testing.assert_array_equal(engine.session(1).run(batch), expected)


def test_more_threads_than_processors() -> None:
    """Threads that share a processor give the same logits, and sleep instead of spinning on what the others need."""
    program = random_program(1, Dimensions(channels=64, heads=2, layers=6))
    batch = batch_of(program, 1, [16])
    expected = NativeEngine(program, logit_scale=1.0, kernels=None).session(1).run(batch).copy()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        session = NativeEngine(program, logit_scale=1.0, kernels=None).session(3)
        started_s = time.process_time()
        for _ in range(100):
            np.testing.assert_array_equal(session.run(batch), expected)
        cpu_s = time.process_time() - started_s
    finally:
        os.sched_setaffinity(0, everywhere)
    assert cpu_s < 0.2  # measured 0.02, and 1 with spinning at each of the 3,700 barriers


def test_memory_does_not_grow_with_requests() -> None:
    """Thousands of batches of all sizes leave a process as large as the first hundreds."""
    session = NativeEngine(PROGRAM, logit_scale=1.0, kernels=None).session(2)
    batches = [batch_of(PROGRAM, seed, lengths) for seed, lengths in enumerate(([32] * 8, [1], [5, 9], [31], [2] * 20))]
    for _ in range(200):
        for batch in batches:
            session.run(batch)
    before = resident_bytes()
    for _ in range(2000):
        for batch in batches:
            session.run(batch)
    assert resident_bytes() - before < 1 << 20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_sessions_of_several_threads_share_a_model() -> None:
    """The interpreter lock is released during a run; sessions do not disturb each other."""
    engine = NativeEngine(PROGRAM, logit_scale=1.0, kernels=None)
    batch = batch_of(PROGRAM, 1, [32, 9])
    expected = engine.session(1).run(batch)
    results: list[NDArray[Any]] = []

    def work() -> None:
        session = engine.session(2)
        results.extend(session.run(batch) for _ in range(20))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 60
    assert all(np.array_equal(result, expected) for result in results)
