"""Kernel sets of 256 bits must run on CPUs without AVX-512: read from the disassembly of the built module."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from intbert import _kernels

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these sets exist on x86-64 only")

EVEX = "62"  # first byte of every instruction of AVX-512; in 64-bit code it has no other meaning
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.+)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(?P<bytes>[0-9a-f ]+?)\s*\t(?:\{[a-z]+\} )?(?P<mnemonic>[a-z0-9_]+)")


def instructions(kernels: str) -> Iterator[tuple[str, str]]:
    """(first byte, mnemonic) of every instruction in the namespace of a kernel set."""
    if shutil.which("objdump") is None:
        pytest.fail("objdump is missing: install binutils")
    command = ["objdump", "--disassemble", "--demangle", "--insn-width=16", _kernels.__file__]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside = False
    for line in listing.splitlines():
        if found := FUNCTION.match(line):
            inside = f"intbert::{kernels}::" in found["name"]
        elif inside and (found := INSTRUCTION.match(line)):
            yield found["bytes"][:2], found["mnemonic"]


@pytest.mark.parametrize("kernels", ["avx2", "avx_vnni"])
def test_no_instruction_of_avx512(kernels: str) -> None:
    """No EVEX prefix, hence no opmask, no register above 15 and no EVEX form of vpdpbusd."""
    listing = list(instructions(kernels))
    assert len(listing) > 1000
    assert not {mnemonic for first, mnemonic in listing if first == EVEX}


def test_multiplication_of_avx2() -> None:
    """AVX2 alone has vpmaddwd; vpmaddubsw would saturate, vpdpbusd would not exist."""
    mnemonics = {mnemonic for _, mnemonic in instructions("avx2")}
    assert "vpmaddwd" in mnemonics
    assert not {name for name in mnemonics if name.startswith(("vpdp", "vpmaddubsw"))}


def test_multiplication_of_avx_vnni() -> None:
    """vpdpbusd has the VEX encoding (three-byte prefix c4)."""
    prefixes = {first for first, mnemonic in instructions("avx_vnni") if mnemonic == "vpdpbusd"}
    assert prefixes == {"c4"}


def test_evex_is_recognised() -> None:
    """The tests above can fail: the AVX-512 set has EVEX everywhere."""
    assert EVEX in {first for first, mnemonic in instructions("avx512_vnni") if mnemonic == "vpdpbusd"}
