"""No floating-point arithmetic or conversion in the kernels: read from the disassembly of the built module.

All functions of the namespace `intbert` are read, which is everything between token ids and logits: kernel sets,
encoder, session, threads and loading. Left out are nanobind, the C++ run-time library and the glue in module.cpp, which
moves arrays. Moves, shuffles and bit operations with a floating-point name (vmovaps, vxorps, ...) are integer work too.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from intbert import _kernels

FLOAT_OPERATION = re.compile(
    r"^v?(?:"
    r"(?:add|sub|mul|div|sqrt|rsqrt\w*|rcp\w*|min|max|hadd|hsub|addsub|dp|round|rndscale|scalef|getexp|getmant|fixupimm"
    r"|range|reduce|cmp\w*|comi|ucomi|fn?m(?:add|sub)\w*|fmaddsub\w*|fmsubadd\w*|exp2|roundscale)(?:ps|pd|ss|sd|ph|sh|bf16)"
    r"|cvt\w+|dpbf16ps"
    r"|f(?:add|sub|mul|div|sqrt|ild|ist|isttp|ld|st|sub|com|prem|rndint|scale|sin|cos|abs|chs|xch|init)\w*"
    r")$"
)
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.+)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(?P<mnemonic>[a-z0-9_]+)")


def instructions(module: Path) -> Iterator[tuple[str, str]]:
    """(function, mnemonic) of every instruction of the namespace intbert."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", str(module)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    function = ""
    for line in listing.splitlines():
        if found := FUNCTION.match(line):
            function = found["name"]
        elif (found := INSTRUCTION.match(line)) and "intbert::" in function and "nanobind" not in function:
            yield function, found["mnemonic"]


def test_kernels_contain_no_float_instruction() -> None:
    """Integers from token ids to logits, in every kernel set."""
    if shutil.which("objdump") is None:
        pytest.fail("objdump is missing: install binutils")
    listing = list(instructions(Path(_kernels.__file__)))
    functions = {function for function, _ in listing}
    for expected in ("linear_to_gelu", "layer_norm", "attend", "embed", "pooler_tanh", "encode"):
        assert any(expected in function for function in functions), f"{expected} was not read"
    floats = {(function, mnemonic) for function, mnemonic in listing if FLOAT_OPERATION.match(mnemonic)}
    assert not floats


@pytest.mark.parametrize(
    "mnemonic",
    [
        "vaddps",
        "mulss",
        "vcvtdq2ps",
        "cvttss2si",
        "vfmadd231ps",
        "divsd",
        "vsqrtpd",
        "vmaxps",
        "fildl",
        "fmulp",
        "vrcp14ps",
    ],
)
def test_float_operations_are_recognised(mnemonic: str) -> None:
    """The test above can fail."""
    assert FLOAT_OPERATION.match(mnemonic)


@pytest.mark.parametrize(
    "mnemonic", ["vmovaps", "vxorps", "vpaddd", "vpdpbusd", "vinsertf32x4", "vpmulhrsw", "vshufps"]
)
def test_moves_and_integers_are_allowed(mnemonic: str) -> None:
    """Names alone do not make a float operation."""
    assert not FLOAT_OPERATION.match(mnemonic)
