"""Engines on ONNX Runtime and the reference engine: same answers whatever shares a run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intbert.arithmetic.encoder import forward
from intbert.errors import ConfigError
from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engine import Engine, PaddingSession
from intbert.runtime.engines import load_engine
from intbert.runtime.onnx import ActivationSize, OnnxFloatEngine, OnnxIntegerEngine
from intbert.runtime.onnx_graph import build_integer_graph
from intbert.runtime.reference import ReferenceEngine
from tests.arithmetic.programs import Dimensions, random_batch, random_program
from tests.model.packages import make_package

lengths = st.lists(st.integers(1, 48), min_size=1, max_size=8)
TASKS = ("text-classification", "question-answering")


@pytest.fixture(scope="module", params=TASKS)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return make_package(tmp_path_factory.mktemp("store"), task=request.param)


def sequences(sizes: list[int]) -> list[TokenSequence]:
    rng = np.random.default_rng(len(sizes))
    return [TokenSequence.of(rng.integers(0, 100, size), rng.integers(0, 2, size)) for size in sizes]


@given(sizes=lengths)
@settings(deadline=None, max_examples=30)
def test_padding_does_not_change_float_answers(package: Package, sizes: list[int]) -> None:
    """Ragged in, ragged out, in the order sent: each sequence gets what it gets alone, to float rounding."""
    session = load_engine(package, "fp32").session(1)
    items = sequences(sizes)
    together = session.run(RaggedBatch.of(items))
    alone = np.concatenate([session.run(RaggedBatch.of([item])) for item in items])
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


@given(sizes=lengths)
@settings(deadline=None, max_examples=10)
def test_integer_engines_equal_the_specification(package: Package, sizes: list[int]) -> None:
    """Reference engine and ONNX graph, in any batch: not a bit differs."""
    program = package.program()
    batch = RaggedBatch.of(sequences(sizes))
    expected = forward(program, batch.token_ids, batch.type_ids, batch.cumulative_lengths)
    graph = build_integer_graph(program).SerializeToString()
    engines: list[Engine] = [
        ReferenceEngine(program, logit_scale=1.0),
        OnnxIntegerEngine(graph, logit_scale=1.0, weights_bytes=len(graph)),
    ]
    for engine in engines:
        result = engine.session(1).run(batch)
        assert result.dtype == np.int32
        assert np.array_equal(result, expected), engine.name


def test_models_are_read_from_files_too(package: Package, tmp_path: Path) -> None:
    """A path and its bytes are the same model."""
    path = tmp_path / "integer.onnx"
    path.write_bytes(build_integer_graph(package.program()).SerializeToString())
    batch = RaggedBatch.of(sequences([7, 3]))
    from_path = OnnxIntegerEngine(path, logit_scale=1.0, weights_bytes=1).session(2).run(batch)
    from_bytes = OnnxIntegerEngine(path.read_bytes(), logit_scale=1.0, weights_bytes=1).session(1).run(batch)
    assert np.array_equal(from_path, from_bytes)


def test_float_sessions_share_weights_by_thread_count(package: Package) -> None:
    """Memory is told as it is: another thread count holds the weights again; buffers grow with the largest batch."""
    engine = load_engine(package, "fp32")
    assert engine.weights_bytes == 4 * 30000
    one = engine.session(1)
    engine.session(1)
    assert engine.weights_bytes == 4 * 30000
    engine.session(2)
    assert engine.weights_bytes == 8 * 30000
    assert engine.arena_bytes() == 0
    one.run(RaggedBatch.of(sequences([4])))
    small = engine.arena_bytes()
    one.run(RaggedBatch.of(sequences([40])))
    assert engine.arena_bytes() > small > 0


def test_pooled_sessions_hold_the_weights_once(package: Package) -> None:
    """As the service runs them: whatever thread count a worker asks for."""
    engine = load_engine(package, "fp32", pool_threads=2)
    batch = RaggedBatch.of(sequences([5, 9]))
    one, two = engine.session(1).run(batch), engine.session(2).run(batch)
    assert engine.weights_bytes == 4 * 30000
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_padding_is_reported(package: Package) -> None:
    """10 and 9 tokens share a rectangle of 20, of which one is padding."""
    session = load_engine(package, "fp32").session(1)
    assert isinstance(session, PaddingSession)
    session.run(RaggedBatch.of(sequences([10, 9])))
    assert session.padding_ratio == pytest.approx(0.05)
    session.run(RaggedBatch.of(sequences([40, 2])))
    assert session.padding_ratio == 0


def test_sessions_need_a_thread(package: Package) -> None:
    """Zero would mean "all" to ONNX Runtime."""
    for engine in (load_engine(package, "fp32"), ReferenceEngine(package.program(), logit_scale=1.0)):
        with pytest.raises(ValueError, match="at least 1"):
            engine.session(0)


def test_model_of_another_kind_is_refused(package: Package) -> None:
    """An integer graph as FP32 variant, and the reverse, fail with the names of the inputs."""
    graph = build_integer_graph(package.program()).SerializeToString()
    activation = ActivationSize(channels=8, intermediate=8, heads=1)
    with pytest.raises(ConfigError, match="token_ids"):
        OnnxFloatEngine(graph, held_bytes=4, activation=activation).session(1)
    with pytest.raises(ConfigError, match="input_ids"):
        OnnxIntegerEngine(package.onnx(), logit_scale=1.0, weights_bytes=1).session(1)


def test_batches_of_the_reference_equal_singles() -> None:
    """The engine adds nothing to the specification."""
    program = random_program(5, Dimensions())
    ids, types, ends = random_batch(1, program, [3, 8])
    batch = RaggedBatch(token_ids=ids, type_ids=types, cumulative_lengths=ends)
    engine = ReferenceEngine(program, logit_scale=0.5)
    assert np.array_equal(engine.session(1).run(batch), forward(program, ids, types, ends))
    assert engine.weights_bytes == sum(array.nbytes for array in program.tensors().values())
