"""The committed golden vectors hold: no bit of version 1 has changed."""

from typing import Any

import numpy as np
import pytest

from intbert.arithmetic import ARITHMETIC_VERSION
from intbert.arithmetic.bounds import check_bounds
from intbert.arithmetic.encoder import forward
from tests.arithmetic.golden import CASES, FOLDER, OPERATIONS, read_json, read_program


@pytest.mark.parametrize("case", CASES)
def test_program(case: str) -> None:
    """Every committed batch of a committed program gives the committed logits."""
    program = read_program(case)
    check_bounds(program)
    vectors = read_json("programs.json")["programs"][case]
    assert vectors
    for vector in vectors:
        batch = {name: np.array(vector[name], dtype=np.int32) for name in vector if name != "logits"}
        np.testing.assert_array_equal(forward(program, **batch), vector["logits"])


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str) -> None:
    """Every committed call of an operation gives the committed result."""
    calls = read_json("operations.json")["operations"][name]
    assert calls
    for call in calls:
        np.testing.assert_array_equal(OPERATIONS[name](*map(argument, call["arguments"])), call["result"])


def argument(value: Any) -> Any:
    return np.array(value, dtype=np.int64) if isinstance(value, list) else value


def test_vectors_belong_to_this_version() -> None:
    """A new arithmetic version needs new vectors, and vectors without a case would test nothing."""
    assert read_json("programs.json")["arithmetic_version"] == ARITHMETIC_VERSION
    assert read_json("operations.json")["arithmetic_version"] == ARITHMETIC_VERSION
    assert (
        {path.stem for path in FOLDER.glob("*.safetensors")}
        == set(CASES)
        == set(read_json("programs.json")["programs"])
    )
    assert set(read_json("operations.json")["operations"]) == set(OPERATIONS)


def test_vectors_are_alive() -> None:
    """Logits differ between tokens and between batches: a dead stage would make the vectors blind."""
    for vectors in read_json("programs.json")["programs"].values():
        rows = np.concatenate([np.array(vector["logits"]) for vector in vectors])
        assert len(np.unique(rows, axis=0)) > len(rows) // 2
