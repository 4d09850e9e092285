"""Programs to tensors and back, and what is refused."""

from typing import Any

import numpy as np
import pytest

from intbert.arithmetic.encoder import forward
from intbert.arithmetic.program import Program
from tests.arithmetic.programs import Dimensions, random_batch, random_program


@pytest.mark.parametrize("dimensions", [Dimensions(), Dimensions(relu=True), Dimensions(pooler=False)])
def test_round_trip(dimensions: Dimensions) -> None:
    """Flattened and read again, a program has equal tensors of equal types and equal logits."""
    program = random_program(1, dimensions)
    tensors = program.tensors()
    again = Program.from_tensors(tensors)
    assert {name: (array.dtype, array.tolist()) for name, array in again.tensors().items()} == {
        name: (array.dtype, array.tolist()) for name, array in tensors.items()
    }
    assert (again.head.pooler is not None) == dimensions.pooler
    assert (again.head.relu_guard_bits is not None) == dimensions.relu
    batch = random_batch(1, program, [3, 4])
    np.testing.assert_array_equal(forward(again, *batch), forward(program, *batch))


def changed(**replacements: Any) -> dict[str, Any]:
    """The tensors of a program with some replaced, or removed by None."""
    tensors: dict[str, Any] = random_program(1).tensors() | replacements
    return {name: array for name, array in tensors.items() if array is not None}


def test_missing_tensor() -> None:
    """KeyError names the tensor."""
    with pytest.raises(KeyError, match=r"layers\.1\.gelu\.multiplier"):
        Program.from_tensors(changed(**{"layers.1.gelu.multiplier": None}))


def test_surplus_tensor() -> None:
    """ValueError names the tensor."""
    with pytest.raises(ValueError, match=r"no integer program has: layers\.0\.extra"):
        Program.from_tensors(changed(**{"layers.0.extra": np.zeros(1, dtype=np.int8)}))


def test_a_pooler_without_relu_has_no_tensor_for_it() -> None:
    """A program with tanh is stored as it was before there was ReLU; ReLU without a pooler is a surplus tensor."""
    assert "head.relu_guard_bits" not in random_program(1).tensors()
    tensors = random_program(1, Dimensions(pooler=False)).tensors()
    with pytest.raises(ValueError, match=r"no integer program has: head\.relu_guard_bits"):
        Program.from_tensors(tensors | {"head.relu_guard_bits": np.asarray(6, dtype=np.int32)})


def test_wrong_type() -> None:
    """ValueError names tensor, type and expected type."""
    with pytest.raises(ValueError, match=r"head\.output\.weight is int16, expected int8"):
        Program.from_tensors(changed(**{"head.output.weight": np.zeros((3, 32), dtype=np.int16)}))


@pytest.mark.parametrize("values", [[4], [4, 4]])
def test_scalars_are_scalars(values: list[int]) -> None:
    """ValueError names the tensor and its shape, also where a single value could be guessed."""
    with pytest.raises(ValueError, match=r"tensor heads has shape \(\d,\), expected a scalar"):
        Program.from_tensors(changed(heads=np.array(values, dtype=np.int32)))
