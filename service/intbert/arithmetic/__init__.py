"""The integer specification in code, version 1: integers only, one operation a file.

This package is normative. Every other implementation (C++ kernels, torch twin, ONNX graph) equals it bit for bit;
`docs/arithmetic.md` states the same operations as numbered equations.
"""

ARITHMETIC_VERSION = 1
