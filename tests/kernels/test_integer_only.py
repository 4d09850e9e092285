"""No floating-point arithmetic or conversion in the kernels: read from the disassembly of the built module."""

import shutil
from pathlib import Path

import pytest

from intbert import _kernels
from tests.kernels.disassembly import FLOAT_OPERATION, float_instructions


def test_kernels_contain_no_float_instruction() -> None:
    """Integers from token ids to logits, in every kernel set."""
    if shutil.which("objdump") is None:
        pytest.fail("objdump is missing: install binutils")
    floats, functions = float_instructions(Path(_kernels.__file__), objdump="objdump")
    for expected in ("linear_to_gelu", "layer_norm", "attend", "embed", "pooler_to_u8", "encode"):
        assert any(expected in function for function in functions), f"{expected} was not read"
    assert not floats


@pytest.mark.parametrize(
    "mnemonic",
    [
        *("vaddps", "mulss", "vcvtdq2ps", "cvttss2si", "vfmadd231ps", "divsd", "vsqrtpd", "vmaxps", "fildl", "fmulp"),
        *("vrcp14ps", "fadd", "fmla", "fdiv", "scvtf", "ucvtf", "fcvtzs", "fcmp", "fmadd", "fnmsub", "faddp"),
        *("frintn", "fsqrt", "fmaxnm", "bfdot", "fcmgt", "frsqrte"),
    ],
)
def test_float_operations_are_recognised(mnemonic: str) -> None:
    """The test above can fail, on x86-64 and on AArch64."""
    assert FLOAT_OPERATION.match(mnemonic)


@pytest.mark.parametrize(
    "mnemonic",
    [
        *("vmovaps", "vxorps", "vpaddd", "vpdpbusd", "vinsertf32x4", "vpmulhrsw", "vshufps"),
        *("fmov", "sdot", "sqrdmulh", "sqdmulh", "udiv", "csel", "bfi", "bfxil", "madd"),
    ],
)
def test_moves_and_integers_are_allowed(mnemonic: str) -> None:
    """Names alone do not make a float operation."""
    assert not FLOAT_OPERATION.match(mnemonic)
