"""The check of emulated CPUs notices what it should; it runs natively here."""

import numpy as np
import pytest

from tests.cpus.probe import GOLDEN, digest
from tests.cpus.run import CPUS, report

EXPECTED = {GOLDEN: "a" * 64, "/store/model/1/int8.safetensors": "b" * 64}


def found(**digests: dict[str, str]) -> dict[str, object]:
    return {"kernels": list(digests), "digests": digests}


def test_equal_digests_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Every kernel set and every digest has its line."""
    assert report("cpu", found(neon=EXPECTED, portable=EXPECTED), EXPECTED, ("neon", "portable"), 1.0) == 0
    assert capsys.readouterr().out.count("equal") == 4


def test_a_wrong_digest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """One changed digest of one kernel set is one difference."""
    wrong = EXPECTED | {GOLDEN: "c" * 64}
    assert report("cpu", found(neon=EXPECTED, portable=wrong), EXPECTED, ("neon", "portable"), 1.0) == 1
    assert capsys.readouterr().out.count("DIFFERENT") == 1


def test_a_wrong_choice_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A CPU that finds other kernel sets than it should fails, though all bits are equal."""
    assert report("cpu", found(portable=EXPECTED), EXPECTED, ("neon", "portable"), 1.0) == 1
    assert "WRONG DISPATCH" in capsys.readouterr().out


def test_digests_see_every_bit() -> None:
    """Values, shapes and the order of batches count."""
    row = np.array([[1, 2, 3]], dtype=np.int32)
    others = ([row, row], [row.T], [row + 1], [row.reshape(3)])
    assert len({digest([row]), *map(digest, others)}) == 5


def test_every_cpu_ends_with_the_portable_set() -> None:
    """The list names both architectures, and no CPU twice."""
    assert all(cpu.kernels[-1] == "portable" for cpu in CPUS)
    assert {cpu.machine for cpu in CPUS} == {"x86_64", "aarch64"}
    assert len({cpu.model for cpu in CPUS}) == len(CPUS)
