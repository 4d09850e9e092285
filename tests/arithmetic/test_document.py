"""The worked examples of docs/arithmetic.md are true."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intbert.arithmetic import fixed, gelu, layernorm, linear, relu, softmax, tanh

DOCUMENT = Path(__file__).parents[2] / "docs" / "arithmetic.md"
EXAMPLE = re.compile(r"^(?P<call>\w+\(.*\)) -> (?P<result>.+)$")
NAMED = {
    "saturate8",
    "saturate16",
    "saturate22",
    "shift_round",
    "multiply_round_q15",
    "multiply_high32",
    "integer_sqrt",
}


def operations() -> dict[str, Callable[..., Any]]:
    """Every public function of the arithmetic by its name."""
    modules = (fixed, gelu, layernorm, linear, relu, softmax, tanh)
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("_")
    }


def examples() -> list[str]:
    """The lines of all example blocks."""
    blocks = re.findall(r"^```example\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def argument(node: ast.expr) -> Any:
    """A literal; lists become int64 arrays, as the reference takes them."""
    value = ast.literal_eval(node)
    return np.array(value, dtype=np.int64) if isinstance(value, list) else value


@pytest.mark.parametrize("line", examples())
def test_example(line: str) -> None:
    """The operation gives exactly the result that stands behind the arrow."""
    match = EXAMPLE.match(line)
    assert match, f"not of the form operation(arguments) -> result: {line}"
    call = ast.parse(match["call"], mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    keywords = {str(keyword.arg): argument(keyword.value) for keyword in call.keywords}
    result = operations()[call.func.id](*map(argument, call.args), **keywords)
    np.testing.assert_array_equal(result, argument(ast.parse(match["result"], mode="eval").body))


def test_every_primitive_has_an_example() -> None:
    """A primitive without an example would be defined by prose alone."""
    shown = {line.partition("(")[0] for line in examples()}
    assert shown >= NAMED | {
        "standardise",
        "exp2_negative_q15",
        "softmax_numerators",
        "normalise_context",
        "gelu",
        "tanh_to_s8",
        "relu_to_u8",
    }
