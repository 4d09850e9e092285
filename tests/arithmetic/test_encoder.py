"""The whole reference: ragged batches, shapes, and operands that fit their lanes."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intbert.arithmetic import encoder, gelu, layernorm, linear, relu, softmax, tanh
from intbert.arithmetic.bounds import check_bounds
from intbert.arithmetic.encoder import forward
from intbert.arithmetic.program import Program
from tests.arithmetic.programs import Dimensions, extreme_program, random_batch, random_program

Operation = Callable[..., Any]
WIDE = Dimensions(channels=1024, heads=16, intermediate=64, layers=1, positions=512)
LANES = [
    Dimensions(positions=512),
    WIDE,
    Dimensions(pooler=False, positions=512),
    Dimensions(relu=True, positions=512),
]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=5),
    pooler=st.booleans(),
    relu=st.booleans(),
)
def test_batch_equals_singles(seed: int, lengths: list[int], pooler: bool, relu: bool) -> None:
    """A sequence's logits do not depend on its companions."""
    program = random_program(seed, Dimensions(pooler=pooler, relu=relu))
    token_ids, type_ids, cumulative_lengths = random_batch(seed, program, lengths)
    together = forward(program, token_ids, type_ids, cumulative_lengths)
    alone = [
        forward(program, token_ids[start:end], type_ids[start:end], np.array([0, end - start], dtype=np.int32))
        for start, end in pairwise(cumulative_lengths)
    ]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize(("pooler", "rows"), [(True, 2), (False, 6)])
def test_shape_of_logits(pooler: bool, rows: int) -> None:
    """int32; a row a sequence with a pooler, otherwise a row a token."""
    program = random_program(1, Dimensions(pooler=pooler))
    logits = forward(program, *random_batch(1, program, [1, 5]))
    assert logits.dtype == np.int32
    assert logits.shape == (rows, 3)


def test_relu_head() -> None:
    """Logits are the output layer of max(x, 0) at the pooler's scale: no offset, a negative input adds nothing."""
    program = random_program(1, Dimensions(relu=True))
    assert program.head.relu_guard_bits is not None
    assert program.head.pooler is not None
    view = np.random.default_rng(1).integers(-127, 128, (4, 32))
    x16 = linear.narrow(linear.accumulate(view + 128, program.head.pooler), program.head.pooler)
    real = np.maximum(x16 / 2**program.head.relu_guard_bits, 0)
    assert 0 < (real == 0).mean() < 1
    expected = np.minimum(real, 255) @ program.head.output.weight.T + program.head.output.bias
    logits = encoder.head_logits(program.head, view, np.arange(5, dtype=np.int32))
    assert np.abs(logits - expected).max() <= 0.5 * np.abs(program.head.output.weight.astype(int)).sum(axis=1).max()


def test_position_offset_shifts_the_table() -> None:
    """A sequence's first token takes the row at position_offset."""
    plain = random_program(1)
    tensors = plain.tensors()
    tensors["embedding.position"] = np.roll(tensors["embedding.position"], 2, axis=0)
    tensors["position_offset"] = np.asarray(2, dtype=np.int32)
    batch = random_batch(1, plain, [5, 9])
    np.testing.assert_array_equal(forward(Program.from_tensors(tensors), *batch), forward(plain, *batch))


def test_too_long_a_sequence_is_an_error() -> None:
    """A token beyond the position table is refused."""
    program = random_program(1)
    with pytest.raises(IndexError):
        forward(program, *random_batch(1, program, [65]))


def fits(*values: Any, low: int, high: int) -> None:
    """Every value is within the lane."""
    for value in values:
        array = np.asarray(value)
        assert array.size == 0 or (array.min() >= low and array.max() <= high), (array.min(), array.max())


def in_lanes(operation: Operation) -> Operation:
    """The operation, checking that a SIMD lane of its width holds operands, intermediates and result."""
    name = operation.__name__

    def checked(*arguments: Any) -> NDArray[np.int64]:
        if name == "multiply_round_q15":  # 16-bit lanes; -32768 as a magnitude is read unsigned
            fits(*arguments, low=-(2**15), high=2**15)
            fits(np.multiply(*arguments), low=-(2**30), high=2**30 - 2**14 - 1)
        if name == "multiply_high32":
            fits(*arguments, low=-(2**31) + 1, high=2**31 - 1)
        if name in ("saturate8", "saturate16", "saturate22", "shift_round"):
            fits(arguments[0], low=-(2**31), high=2**31 - 1)
        result: NDArray[np.int64] = operation(*arguments)
        width = 15 if name == "multiply_round_q15" else 31
        fits(result, low=-(2**width), high=2**width - 1)
        return result

    return checked


@pytest.fixture
def lane_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every primitive and every exact product of the real reference, watched while it runs."""
    names = (
        "multiply_round_q15", "multiply_high32", "saturate8", "saturate16", "saturate22", "shift_round", "integer_sqrt",
        "accumulate", "exact_product", "embed", "standardise", "normalise_context", "softmax_numerators", "gelu",
    )  # fmt: skip
    for module in (encoder, gelu, layernorm, linear, relu, softmax, tanh):
        for name in names:
            if name in vars(module):
                monkeypatch.setattr(module, name, in_lanes(vars(module)[name]))


@pytest.mark.usefixtures("lane_checks")
@pytest.mark.parametrize("make", [random_program, extreme_program])
@pytest.mark.parametrize("dimensions", LANES)
def test_no_lane_overflows(make: Operation, dimensions: Dimensions) -> None:
    """With the bounds proved, 16-bit products see 16-bit operands and everything else fits 32 bits."""
    program = make(1, dimensions)
    check_bounds(program)
    forward(program, *random_batch(1, program, [1, 7, 512]))


def test_lane_checks_do_check(lane_checks: None) -> None:
    """The watch would notice: a program outside its bounds (a negative multiplier at saturation) trips it."""
    tensors = extreme_program(1).tensors()
    for name in list(tensors):
        if name.endswith("ffn_input.multiplier"):
            tensors[name] = np.full_like(tensors[name], -32768)
    program = Program.from_tensors(tensors)
    with pytest.raises(AssertionError):
        forward(program, *random_batch(1, program, [64]))
