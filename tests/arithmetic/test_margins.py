"""Margins of the proved bounds."""

import numpy as np
import pytest

from intbert.arithmetic.bounds import BoundsError, check_bounds
from intbert.arithmetic.margins import margins
from intbert.arithmetic.program import Program
from tests.arithmetic.programs import Dimensions, extreme_program, random_program


@pytest.mark.parametrize("make", [random_program, extreme_program])
@pytest.mark.parametrize("pooler", [True, False])
def test_programs_that_pass_have_room(make: object, pooler: bool) -> None:
    """Every listed bound of a program that loads is kept, and every matrix is listed once."""
    program = make(3, Dimensions(pooler=pooler))  # type: ignore[operator]
    check_bounds(program)
    found = list(margins(program))
    assert all(margin.largest <= margin.limit for margin in found)
    assert all(margin.spare_bits >= 0 for margin in found)
    names = [margin.tensor for margin in found]
    assert len(set(names)) == len(names)
    matrices = {name.removesuffix(".weight") for name in program.tensors() if name.endswith(".weight")}
    assert matrices <= set(names)


@pytest.mark.parametrize(
    ("name", "value", "tensor"),
    [
        ("layers.0.qkv.bias", 2**31 - 1, "layers.0.qkv"),
        ("layers.0.attention_output.accumulator_shift", 30, "layers.0.attention_output"),
        ("layers.0.attention.context_multiplier", 2**22, "layers.0.attention.context_multiplier"),
        ("layers.0.ffn_norm.bias", 2**30 + 1, "layers.0.ffn_norm.bias"),
        ("embedding.word_multiplier", 32767, "embedding"),
    ],
)
def test_programs_that_are_refused_have_none(name: str, value: int, tensor: str) -> None:
    """What `check_bounds` refuses, the margins show: at or above the limit at the tensor that it names."""
    tensors = random_program(1).tensors()
    program = Program.from_tensors(tensors | {name: np.full_like(tensors[name], value)})
    with pytest.raises(BoundsError, match=tensor):
        check_bounds(program)
    found = next(margin for margin in margins(program) if margin.tensor == tensor)
    assert found.largest >= found.limit
