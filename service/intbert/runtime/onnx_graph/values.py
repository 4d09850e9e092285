"""Integer expressions that write an ONNX graph: `a * b + 1 >> 15` on `Value`s appends the nodes that compute it.

Every `Value` is an int64 tensor, as in the reference, so no operator can overflow and no float type is ever named. What
ONNX Runtime does differently from NumPy is settled here: its BitShift is unsigned, its Div truncates, its integer
ReduceSum passes through double.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intbert.errors import ConfigError

OPSET = 18  # the first with BitwiseAnd
IR_VERSION = 8
SIGN_OFFSET_BITS = 62  # added before an unsigned shift: |x| < 2^62 for every value of the specification


class GraphWriter:
    """Nodes and initialisers of one graph. `scope` prefixes names, so that a viewer shows layers and operations."""

    def __init__(self) -> None:
        self._onnx = import_onnx()
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self._scopes: list[str] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of everything written inside."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def node(self, operator: str, *inputs: "Value | str", result: str | None = None, **attributes: Any) -> "Value":
        """Append one standard operator with a single result, named after the scope unless `result` says otherwise."""
        name = "/".join([*self._scopes, f"{operator}_{len(self.nodes)}"])
        names = [item if isinstance(item, str) else item.name for item in inputs]
        self.nodes.append(self._onnx.helper.make_node(operator, names, [result or name], name=name, **attributes))
        return Value(writer=self, name=result or name)

    def raw(self, values: Any, name: str | None = None) -> str:
        """An initialiser in the array's own type; unnamed ones are shared by content."""
        array = np.asarray(values)
        label = name or _content_label(array)
        if label not in self.initializers:
            self.initializers[label] = self._onnx.numpy_helper.from_array(np.array(array, order="C"), label)
        return label

    def constant(self, value: Any) -> "Value":
        """A small int64 constant, written into the graph as such."""
        return Value(writer=self, name=self.raw(np.asarray(value, dtype=np.int64)))

    def parameter(self, array: NDArray[Any], name: str) -> "Value":
        """A named tensor of the program in its storage type, widened (ONNX Runtime folds the Cast at load)."""
        return self.widen(self.raw(array, name))

    def widen(self, name: "Value | str") -> "Value":
        """Any integer type to int64."""
        return self.cast(name, np.int64)

    def cast(self, value: "Value | str", dtype: Any) -> "Value":
        """To an integer type; values outside it wrap, so callers clamp first."""
        return self.node("Cast", value, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def import_onnx() -> Any:
    """The package onnx, which only writing a graph needs. ConfigError says how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise ConfigError("writing an ONNX graph needs the package onnx: install intbert[onnx]") from error
    return onnx


def _content_label(array: NDArray[Any]) -> str:
    """A name for a constant: its value where that is short, otherwise a hash."""
    content = str(array.item()) if array.ndim == 0 else sha256(array.tobytes()).hexdigest()[:16]
    return f"constant/{array.dtype}{list(array.shape)}/{content}"


@dataclass(frozen=True, eq=False)
class Value:
    """One int64 tensor of the graph."""

    writer: GraphWriter = field(repr=False)
    name: str

    def op(self, operator: str, *others: Any, **attributes: Any) -> "Value":
        """The single result of an operator whose first input is this value."""
        inputs = [item if isinstance(item, Value) else self.writer.constant(item) for item in others]
        return self.writer.node(operator, self, *inputs, **attributes)

    def __add__(self, other: Any) -> "Value":
        return self.op("Add", other)

    def __sub__(self, other: Any) -> "Value":
        return self.op("Sub", other)

    def __rsub__(self, other: int) -> "Value":
        return self.writer.constant(other) - self

    def __mul__(self, other: Any) -> "Value":
        return self.op("Mul", other)

    def __and__(self, other: int) -> "Value":
        return self.op("BitwiseAnd", other)

    def __lshift__(self, shift: int) -> "Value":
        return self if shift == 0 else self * (1 << shift)

    def __rshift__(self, shift: Any) -> "Value":
        """Floor shift by a constant, an array or a `Value`: ((x + 2^62) >> s) - (2^62 >> s), unsigned inside."""
        offset = self.writer.constant(1 << SIGN_OFFSET_BITS)
        by = shift if isinstance(shift, Value) else self.writer.constant(shift)
        return (self + offset).unsigned_shift(by) - offset.unsigned_shift(by)

    def unsigned_shift(self, shift: "Value") -> "Value":
        """x >> shift for x >= 0."""
        cast = self.writer.cast
        shifted = self.writer.node("BitShift", cast(self, np.uint64), cast(shift, np.uint64), direction="RIGHT")
        return self.writer.widen(shifted)

    def __floordiv__(self, divisor: "Value") -> "Value":
        """Quotient for dividend >= 0 and divisor > 0, where truncation is floor."""
        return self.op("Div", divisor)

    def floor_divide(self, divisor: int) -> "Value":
        """floor(x / divisor) for any sign: what remains after the never negative Mod divides without rest."""
        return (self - self.op("Mod", divisor)).op("Div", divisor)

    def clip(self, low: int, high: int) -> "Value":
        return self.op("Clip", low, high)

    def minimum(self, other: Any) -> "Value":
        return self.op("Min", other)

    def maximum(self, other: Any) -> "Value":
        return self.op("Max", other)

    def abs(self) -> "Value":
        return self.op("Abs")

    def row_sum(self) -> "Value":
        """(..., k) to (..., 1), as a product with k ones: an integer product stays integer in ONNX Runtime."""
        length = self.op("Shape", start=-1)
        ones = self.writer.constant(1).op(
            "Expand", self.writer.node("Concat", length, self.writer.constant([1]), axis=0)
        )
        return self.op("MatMul", ones)

    def row_max(self) -> "Value":
        return self.op("ReduceMax", [-1], keepdims=1)

    def reshape(self, *shape: int) -> "Value":
        """0 keeps a dimension, -1 is inferred."""
        return self.op("Reshape", list(shape))

    def transpose(self, *axes: int) -> "Value":
        return self.op("Transpose", perm=list(axes))

    def take(self, index: Any, axis: int = 0) -> "Value":
        return self.op("Gather", index, axis=axis)

    def power_of_two(self) -> "Value":
        """2^x for 0 <= x <= 62, from a table."""
        return self.writer.constant(np.int64(1) << np.arange(SIGN_OFFSET_BITS + 1)).take(self)

    def bit_length(self) -> "Value":
        """Number of bits of 0 <= x < 2^63, for x (..., 1): how many powers of two are not above it."""
        powers = np.int64(1) << np.arange(SIGN_OFFSET_BITS + 1)
        return self.writer.widen(self.op("GreaterOrEqual", powers)).row_sum()

    def matmul_u8(self, other: "Value | str", zero_point: int, other_zero_point: int) -> "Value":
        """(self - zero_point) @ (other - other_zero_point), both in 0..255, exact in int32.

        u8 by u8 is the one combination that ONNX Runtime computes without saturation on every x86 CPU.
        """
        writer = self.writer
        zeros = [writer.raw(np.uint8(point)) for point in (zero_point, other_zero_point)]
        right = other if isinstance(other, str) else writer.cast(other, np.uint8)
        return writer.widen(writer.node("MatMulInteger", writer.cast(self, np.uint8), right, *zeros))
