"""Programs outside the proved bounds are refused, with the tensor's name."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intbert.arithmetic.bounds import BoundsError, check_bounds, tokens_max
from intbert.arithmetic.program import Program
from tests.arithmetic.programs import Dimensions, extreme_program, random_program

BROKEN: list[tuple[str, Any, str]] = [
    ("heads", 5, "heads: 32 channels cannot be divided among 5 heads"),
    ("heads", 0, "heads"),
    ("position_offset", 64, "position_offset 64 with 64 positions"),
    ("embedding.word", -128, "embedding.word: values -128"),
    ("embedding.word_multiplier", -1, "embedding.word_multiplier"),
    ("embedding.word_multiplier", 32767, r"embedding: sums up to \d+ exceed 2097151"),
    ("embedding.position_shift", 7, "embedding.position_shift"),
    ("embedding_norm.shift", 0, "embedding_norm.shift"),
    ("embedding_norm.gain", -(2**31), "embedding_norm.gain"),
    ("layers.0.ffn_norm.bias", 2**30 + 1, "layers.0.ffn_norm.bias"),
    ("layers.1.attention_norm.view", -1, "layers.1.attention_norm.view"),
    ("layers.0.qkv.weight", -128, "layers.0.qkv.weight"),
    ("layers.0.qkv.bias", 2**31 - 1, r"layers.0.qkv: accumulators up to \d+ exceed 32 bits"),
    ("layers.0.qkv.shift", 32, "layers.0.qkv.shift"),
    ("layers.0.qkv.multiplier", -1, "layers.0.qkv.multiplier"),
    ("layers.0.attention.qkv_guard_bits", 8, "layers.0.attention.qkv_guard_bits"),
    ("layers.0.attention.score_shift", 31, "layers.0.attention.score_shift"),
    ("layers.0.attention.score_multiplier", -1, "layers.0.attention.score_multiplier"),
    ("layers.0.attention.exp_fraction_bits", 11, "layers.0.attention.exp_fraction_bits"),
    ("layers.0.attention.context_multiplier", 2**22, "layers.0.attention.context_multiplier"),
    ("layers.0.attention_output.multiplier", -1, "layers.0.attention_output.multiplier"),
    ("layers.0.attention_output.accumulator_shift", 30, r"shifted accumulators up to \d+ exceed 32 bits"),
    ("layers.0.ffn_output.residual_shift", 7, "layers.0.ffn_output.residual_shift"),
    ("layers.0.gelu.range_shift", 5, "layers.0.gelu.range_shift"),
    ("layers.0.gelu.multiplier", -1, "layers.0.gelu.multiplier"),
    ("layers.0.gelu.zero_point", 256, "layers.0.gelu.zero_point"),
    ("head.pooler.multiplier", -1, "head.pooler.multiplier"),
    ("head.output.bias", -(2**31), "head.output: accumulators"),
]


def replaced(name: str, array: NDArray[Any]) -> Program:
    return Program.from_tensors(random_program(1).tensors() | {name: array})


@pytest.mark.parametrize("make", [random_program, extreme_program])
@pytest.mark.parametrize(
    "dimensions", [Dimensions(), Dimensions(pooler=False, position_offset=2), Dimensions(relu=True)]
)
def test_good_programs_pass(make: Any, dimensions: Dimensions) -> None:
    """Realistic constants and constants at their bounds are accepted."""
    check_bounds(make(1, dimensions))


@pytest.mark.parametrize(("name", "value", "message"), BROKEN)
def test_each_bound_is_checked(name: str, value: int, message: str) -> None:
    """One constant out of range anywhere in a tensor is found and named."""
    array = random_program(1).tensors()[name].copy()
    array[(-1,) * array.ndim] = value
    with pytest.raises(BoundsError, match=message):
        check_bounds(replaced(name, array))


@pytest.mark.parametrize("bits", [0, 8])
def test_guard_bits_of_relu_are_checked(bits: int) -> None:
    """ReLU drops at least one bit, and no more than leave it a range of 8 bits."""
    tensors = random_program(1, Dimensions(relu=True)).tensors()
    tensors["head.relu_guard_bits"] = np.asarray(bits, dtype=np.int32)
    with pytest.raises(BoundsError, match=rf"head\.relu_guard_bits: values {bits}"):
        check_bounds(Program.from_tensors(tensors))


@pytest.mark.parametrize(
    "name", [name for name, array in random_program(1).tensors().items() if array.ndim and name != "embedding.word"]
)
def test_each_shape_is_checked(name: str) -> None:
    """A row too many or another rank is found and named; the tables of positions and types alone may be longer."""
    array = random_program(1).tensors()[name]
    owner = name.rsplit(".", 1)[0]
    with pytest.raises(BoundsError, match=owner):
        check_bounds(replaced(name, array[None]))
    with pytest.raises(BoundsError, match=owner):
        check_bounds(replaced(name, array.ravel()[0].reshape(())))
    if name not in ("embedding.position", "embedding.token_type"):
        with pytest.raises(BoundsError, match=owner):
            check_bounds(replaced(name, np.concatenate([array, array[:1]])))


def test_empty_vocabulary() -> None:
    """A program without words is refused, not a crash of the bounds themselves."""
    tensors = random_program(1).tensors()
    for name in ("embedding.word", "embedding.word_multiplier"):
        tensors[name] = tensors[name][:0]
    with pytest.raises(BoundsError, match=r"embedding\.word: no rows"):
        check_bounds(Program.from_tensors(tensors))


def test_longest_sequence() -> None:
    """The position table less its offset."""
    assert tokens_max(random_program(1, Dimensions(positions=40, position_offset=2))) == 38
