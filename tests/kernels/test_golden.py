"""The committed golden vectors hold in every kernel set that this CPU can run."""

import numpy as np
import pytest

from intbert.runtime.batch import RaggedBatch
from intbert.runtime.native import NativeEngine, supported_kernels
from tests.arithmetic.golden import CASES, read_json, read_program


@pytest.mark.parametrize("kernels", supported_kernels())
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_golden_logits(case: str, kernels: str, threads: int) -> None:
    """The C++ encoder gives the logits that the specification gave when version 1 was fixed."""
    session = NativeEngine(read_program(case), logit_scale=1.0, kernels=kernels).session(threads)
    for vector in read_json("programs.json")["programs"][case]:
        batch = RaggedBatch(**{name: np.array(vector[name], dtype=np.int32) for name in vector if name != "logits"})
        np.testing.assert_array_equal(session.run(batch), vector["logits"])
