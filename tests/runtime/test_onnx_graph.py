"""The integer program as an ONNX graph: the reference's bits from stock ONNX Runtime, and no float anywhere."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic.bounds import check_bounds
from intbert.arithmetic.encoder import forward
from intbert.arithmetic.fixed import bit_length, integer_sqrt, multiply_high32
from intbert.arithmetic.program import Program
from intbert.errors import ConfigError
from intbert.runtime.onnx_graph import build_integer_graph
from intbert.runtime.onnx_graph.operations import integer_sqrt_normalised
from intbert.runtime.onnx_graph.operations import multiply_high32 as multiply_high32_graph
from intbert.runtime.onnx_graph.values import IR_VERSION, OPSET, GraphWriter, Value
from tests.arithmetic.programs import Dimensions, extreme_program, random_batch, random_program

INTEGER_TYPES = {"BOOL", "INT8", "UINT8", "INT16", "INT32", "INT64", "UINT64"}
RELU = Dimensions(relu=True)
SPANS = Dimensions(channels=48, heads=2, layers=3, positions=514, labels=2, pooler=False, position_offset=2)


def open_session(model: Any, optimised_path: Path | None = None) -> Any:
    """ONNX Runtime as a user has it: default options, but one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if optimised_path:
        options.optimized_model_filepath = str(optimised_path)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, program: Program, lengths: list[int], seed: int = 0) -> tuple[Any, Any]:
    """Logits of one sequence a run, and the reference's for the ragged batch of all."""
    token_ids, type_ids, cumulative_lengths = random_batch(seed, program, lengths)
    rows = [
        session.run(None, {"token_ids": token_ids[start:end], "type_ids": type_ids[start:end]})[0]
        for start, end in pairwise(cumulative_lengths)
    ]
    return np.concatenate(rows), forward(program, token_ids, type_ids, cumulative_lengths)


def run_expression(x: NDArray[np.int64], write: Any) -> NDArray[np.int64]:
    """The value in ONNX Runtime of an expression of one int64 input."""
    writer = GraphWriter()
    write(Value(writer=writer, name="x")).op("Identity")
    writer.nodes[-1].output[0] = "y"
    helper = onnx.helper
    graph = helper.make_graph(
        writer.nodes,
        "expression",
        [helper.make_tensor_value_info("x", onnx.TensorProto.INT64, list(x.shape))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT64, None)],
        list(writer.initializers.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    result: NDArray[np.int64] = open_session(model).run(None, {"x": x})[0]
    return result


@pytest.mark.parametrize("make", [random_program, extreme_program])
@pytest.mark.parametrize("dimensions", [Dimensions(positions=512), SPANS, replace(RELU, positions=512)])
@pytest.mark.parametrize("seed", [1, 2])
def test_graph_equals_reference(make: Any, dimensions: Dimensions, seed: int) -> None:
    """ONNX Runtime's logits are the reference's, for one token, the longest sequence, and saturating constants."""
    program = make(seed, dimensions)
    check_bounds(program)
    logits, expected = run_session(open_session(build_integer_graph(program)), program, [1, 2, 30, 129, 512], seed)
    assert logits.dtype == np.int32
    np.testing.assert_array_equal(logits, expected)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    heads=st.integers(1, 4),
    head_dim=st.integers(1, 20),
    intermediate=st.integers(1, 70),
    layers=st.integers(0, 2),
    pooler=st.booleans(),
    relu=st.booleans(),
    extreme=st.booleans(),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
)
def test_graph_equals_reference_for_any_shape(
    seed: int,
    heads: int,
    head_dim: int,
    intermediate: int,
    layers: int,
    pooler: bool,
    relu: bool,
    extreme: bool,
    lengths: list[int],
) -> None:
    """Equality does not depend on dimensions: one channel, no layer and odd sizes included."""
    dimensions = Dimensions(
        channels=heads * head_dim, heads=heads, intermediate=intermediate, layers=layers, pooler=pooler, relu=relu
    )
    program = (extreme_program if extreme else random_program)(seed, dimensions)
    logits, expected = run_session(open_session(build_integer_graph(program)), program, lengths, seed)
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("dimensions", [Dimensions(), SPANS, RELU])
def test_no_float_between_ids_and_logits(dimensions: Dimensions) -> None:
    """Every tensor of the graph has an inferred type, and every one is an integer or a truth value."""
    model = onnx.shape_inference.infer_shapes(
        build_integer_graph(random_program(3, dimensions)), check_type=True, strict_mode=True
    )
    types = {item.name: item.data_type for item in model.graph.initializer}
    for value in [*model.graph.input, *model.graph.value_info, *model.graph.output]:
        types[value.name] = value.type.tensor_type.elem_type
    produced = {name for node in model.graph.node for name in [*node.input, *node.output]}
    assert produced <= set(types), "a tensor without a known type proves nothing"
    assert {onnx.TensorProto.DataType.Name(kind) for kind in types.values()} <= INTEGER_TYPES
    assert not any(
        attribute.HasField("f") or attribute.floats for node in model.graph.node for attribute in node.attribute
    )


def test_onnx_runtime_keeps_it_integer(tmp_path: Path) -> None:
    """The graph that ONNX Runtime really runs, after all its optimisations, has no float and no operator of its own."""
    written = build_integer_graph(random_program(3))
    open_session(written, tmp_path / "optimised.onnx")
    model = onnx.load(tmp_path / "optimised.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    moving = {"Split", "Slice", "Squeeze"}  # what it may put in the place of Gather
    assert {node.op_type for node in model.graph.node} <= {node.op_type for node in written.graph.node} | moving
    casts = [attribute.i for node in model.graph.node if node.op_type == "Cast" for attribute in node.attribute]
    kinds = [*casts, *(item.data_type for item in model.graph.initializer)]
    assert {onnx.TensorProto.DataType.Name(kind) for kind in kinds} <= INTEGER_TYPES


def test_only_standard_operators() -> None:
    """One opset, the standard one, no functions and no external data: any ONNX runtime can read the file."""
    model = build_integer_graph(random_program(3))
    assert [(item.domain, item.version) for item in model.opset_import] == [("", OPSET)]
    assert not model.functions
    assert not any(item.external_data for item in model.graph.initializer)


@pytest.mark.parametrize(("token_id", "tokens"), [(100, 1), (0, 65)])
def test_ids_and_positions_outside_the_tables_are_errors(token_id: int, tokens: int) -> None:
    """An unknown id, and a token more than the position table has rows, fail instead of reading something else."""
    session = open_session(build_integer_graph(random_program(3)))
    feeds = {"token_ids": np.full(tokens, token_id, np.int32), "type_ids": np.zeros(tokens, np.int32)}
    with pytest.raises(Exception, match="indices element out of data bounds"):
        session.run(None, feeds)


def test_root_needs_no_more_newton_steps() -> None:
    """The unrolled square root equals the reference over its whole range: around squares, at both ends, at random."""
    rng = np.random.Generator(np.random.PCG64(5))
    roots = np.concatenate([rng.integers(2**30, 2**31, 20000), [2**30, 2**30 + 1, 2**31 - 2, 2**31 - 1]])
    around = np.concatenate([roots**2 - 1, roots**2, roots**2 + 1, rng.integers(2**60, 2**62, 20000), [2**62 - 1]])
    x = around[(around >= 2**60) & (around < 2**62)]
    np.testing.assert_array_equal(run_expression(x, integer_sqrt_normalised), integer_sqrt(x))


@pytest.mark.parametrize("shift", [0, 1, 15, 32, 61, np.array([0, 7, 31])])
def test_floor_shift(shift: Any) -> None:
    """The unsigned detour of >> is an arithmetic shift for every |x| < 2^62."""
    rng = np.random.Generator(np.random.PCG64(6))
    edges = [[-(2**62) + 1, 2**62 - 1, 0], [-1, 1, -(2**31)]]
    x = np.concatenate([rng.integers(-(2**62) + 1, 2**62, (500, 3)), rng.integers(-99, 99, (99, 3)), edges])
    np.testing.assert_array_equal(run_expression(x, lambda value: value >> shift), x >> shift)


@pytest.mark.parametrize("divisor", [1, 2, 7, 2 * 384])
def test_floor_division(divisor: int) -> None:
    """`floor_divide` rounds towards minus infinity, unlike Div."""
    x = np.arange(-3000, 3000, dtype=np.int64)
    np.testing.assert_array_equal(run_expression(x, lambda value: value.floor_divide(divisor)), x // divisor)


def test_high_product_at_the_limits() -> None:
    """|a * b| up to (2^31 - 1)^2 leaves room for the shift's offset."""
    x = np.array([-(2**31) + 1, 2**31 - 1, -1, 0, 1], dtype=np.int64)
    product = run_expression(x, lambda value: multiply_high32_graph(value, value.writer.constant(2**31 - 1)))
    np.testing.assert_array_equal(product, multiply_high32(x, np.int64(2**31 - 1)))


def test_bit_length_and_powers() -> None:
    """Counting powers of two equals the reference's bit length; the table of powers inverts it."""
    x = np.concatenate([np.int64(1) << np.arange(62), (np.int64(1) << np.arange(62)) - 1])[:, None]
    np.testing.assert_array_equal(run_expression(x, Value.bit_length), bit_length(x))
    exponents = np.arange(63, dtype=np.int64)
    np.testing.assert_array_equal(run_expression(exponents, Value.power_of_two), np.int64(1) << exponents)


def test_sums_are_exact_above_2_to_53() -> None:
    """A row sum does not pass through a double, where the last bits of energies would go."""
    x = np.array([[2**53, 1, 1, 1], [2**60, 1, -(2**60), 1]], dtype=np.int64)
    np.testing.assert_array_equal(run_expression(x, Value.row_sum), x.sum(axis=1, keepdims=True))


def test_missing_package_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional package onnx the error says what to install."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"needs the package onnx: install intbert\[onnx\]"):
        build_integer_graph(random_program(3))
