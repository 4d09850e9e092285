"""Floating-point instructions in a built module, from its disassembly.

All functions of the namespace `intbert` are read, which is everything between token ids and logits: kernel sets,
encoder, session, threads and loading. Left out are nanobind, the C++ run-time library and the glue in module.cpp, which
moves arrays. Moves, shuffles and bit operations with a floating-point name (vmovaps, vxorps, fmov, ...) are integer
work too.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

X86_FLOAT = (
    r"v?(?:"
    r"(?:add|sub|mul|div|sqrt|rsqrt\w*|rcp\w*|min|max|hadd|hsub|addsub|dp|round|rndscale|scalef|getexp|getmant|fixupimm"
    r"|range|reduce|cmp\w*|comi|ucomi|fn?m(?:add|sub)\w*|fmaddsub\w*|fmsubadd\w*|exp2|roundscale)(?:ps|pd|ss|sd|ph|sh|bf16)"
    r"|cvt\w+|dpbf16ps"
    r"|f(?:add|sub|mul|div|sqrt|ild|ist|isttp|ld|st|sub|com|prem|rndint|scale|sin|cos|abs|chs|xch|init)\w*"
    r")"
)
AARCH64_FLOAT = (
    r"(?:[su]cvtf|bf\w*(?:dot|mla|mmla|cvt)\w*|f(?:add|sub|n?m(?:add|sub|ul)|ml[as]|div|sqrt|max|min|abs|abd|neg|n?mul"
    r"|cmp?|cm(?:eq|ge|gt|le|lt)|ac(?:ge|gt)|ccmp|csel|cvt|rint|recp|rsqrt|cadd|cmla|jcvt)\w*)"
)
FLOAT_OPERATION = re.compile(rf"^(?:{X86_FLOAT}|{AARCH64_FLOAT})$")
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.+)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\t(?:\{[a-z]+\} )?(?P<mnemonic>[a-z0-9_]+)")


def float_instructions(module: Path, *, objdump: str) -> tuple[set[tuple[str, str]], set[str]]:
    """(function, mnemonic) of each floating-point instruction, and the names of all functions that were read."""
    listing = list(instructions(module, objdump))
    floats = {(function, mnemonic) for function, mnemonic in listing if FLOAT_OPERATION.match(mnemonic)}
    return floats, {function for function, _ in listing}


def instructions(module: Path, objdump: str) -> Iterator[tuple[str, str]]:
    """(function, mnemonic) of every instruction of the namespace intbert."""
    command = [objdump, "--disassemble", "--demangle", "--no-show-raw-insn", str(module)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    function = ""
    for line in listing.splitlines():
        if found := FUNCTION.match(line):
            function = found["name"]
        elif (found := INSTRUCTION.match(line)) and "intbert::" in function and "nanobind" not in function:
            yield function, found["mnemonic"]
