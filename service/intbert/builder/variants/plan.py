"""A plan says on which grid each tensor of the graph lies; one writer makes QuantizeLinear and DequantizeLinear of it.

`QuantizeLinear` rounds half to even and saturates (ONNX operator specification), here to unsigned integers of 8 or 16
bits: a symmetric grid has its zero in the middle. Weights are signed 8-bit integers, symmetric, from -127 to 127. Where
ONNX Runtime finds such pairs before both inputs of a matrix product, it computes the product in integers; everywhere
else the grid is simulated in floating point.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from intbert.builder.fp32_graph import OPSET, FloatStorage, GraphWriter, build_graph
from intbert.builder.variants.ranges import Range

Bits = Literal[8, 16]
OPSET_16_BITS = 21  # the first whose QuantizeLinear has 16 bits
WEIGHT_MAX = 127
BIAS_MAX = 2**31 - 1
UNSIGNED: Mapping[int, Any] = {8: np.uint8, 16: np.uint16}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """scale * (q - zero_point) for q from 0 to 2^bits - 1."""

    scale: NDArray[np.float32]  # (), or (channels,) along the last axis
    zero_point: NDArray[np.int64]  # of the same shape
    bits: Bits = 8

    @classmethod
    def over(cls, ranges: "Range | list[Range]", bits: Bits = 8) -> "Grid":
        """The grid that reaches over a range, or over one of each channel; 0 lies on it exactly.

        A symmetric range gives the zero point in the middle, and the grid of integers from 1 - middle to middle - 1.
        """
        several = ranges if isinstance(ranges, list) else [ranges]
        placed = [_placed(item, bits) for item in several]
        shape = () if isinstance(ranges, Range) else (len(several),)
        return cls(
            scale=np.array([scale for scale, _ in placed], dtype=np.float32).reshape(shape),
            zero_point=np.array([zero for _, zero in placed], dtype=np.int64).reshape(shape),
            bits=bits,
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Grids by name; what is not named stays FP32 (weights in half precision)."""

    activations: Mapping[str, Grid]  # site -> grid of the tensor, for whatever reads it
    weights: Mapping[str, NDArray[np.float32]]  # weight -> scale: (), or (outputs,) for a matrix
    inputs: Mapping[str, Grid] = field(default_factory=dict)  # site -> grid of what matrices alone read
    biases: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # bias -> scale of its int32
    factors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # site -> (channels,), see linear_input


class PlannedQuantiser(FloatStorage):
    """Writes a plan; see `GraphQuantiser`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(half_precision=True)
        self._plan = plan
        self._integers: set[str] = set()  # tensors that come from 8 bits on one scale
        wide = any(grid.bits == 16 for grid in (*plan.activations.values(), *plan.inputs.values()))
        self.opset = OPSET_16_BITS if wide else OPSET

    def activation(self, writer: GraphWriter, site: str, tensor: str) -> str:
        """On the site's grid, if it has one."""
        return self._through(writer, f"{site}/grid", tensor, self._plan.activations.get(site))

    def linear_input(self, writer: GraphWriter, site: str, tensor: str) -> str:
        """On the grid that matrices read it on, if it has one; divided before by the site's factors, if it has some.

        The weights of the matrices must hold the factors.
        """
        factors = self._plan.factors.get(site)
        if factors is not None:
            tensor = writer.node("Div", tensor, writer.initializer(factors, f"{site}/factors"))
        return self._through(writer, f"{site}/read", tensor, self._plan.inputs.get(site))

    def matrix(self, writer: GraphWriter, name: str, values: NDArray[np.float32], x: str) -> str:
        """Stored in int8 where the plan has a scale; beside an x of 8 bits in a form that makes an integer product."""
        scale = self._plan.weights.get(name)
        if scale is None:
            return super().matrix(writer, name, values, x)
        stored = self.table(writer, name, values)
        if x in self._integers:
            return _dequantise(writer, name, stored, scale, axis=1)
        # Folded to FP32 at load. ONNX Runtime makes a pair of DequantizeLinear and MatMul to MatMulNBits, which rounds
        # x to 8 bits of its own choice.
        numbers = writer.node("Cast", stored, to=writer.float_type)
        return writer.node("Mul", numbers, writer.initializer(scale, f"{name}/scale"))

    def bias(self, writer: GraphWriter, name: str, values: NDArray[np.float32]) -> str:
        """Stored in int32 where the plan has a scale."""
        scale = self._plan.biases.get(name)
        if scale is None:
            return super().bias(writer, name, values)
        stored = np.clip(np.rint(values / scale.astype(np.float64)), -BIAS_MAX, BIAS_MAX).astype(np.int32)
        return _dequantise(writer, name, writer.initializer(stored, name), scale, axis=0, dtype=np.int32)

    def table(self, writer: GraphWriter, name: str, values: NDArray[np.float32]) -> str:
        """The integers, from which rows are taken before they become FP32."""
        scale = self._plan.weights.get(name)
        if scale is None:
            return super().table(writer, name, values)
        return writer.initializer(weight_integers(values, scale), name)

    def rows(self, writer: GraphWriter, name: str, tensor: str) -> str:
        """FP32 by the table's scale."""
        scale = self._plan.weights.get(name)
        return tensor if scale is None else _dequantise(writer, name, tensor, scale, axis=1)

    def _through(self, writer: GraphWriter, name: str, tensor: str, grid: Grid | None) -> str:
        """The FP32 tensor on its grid."""
        if grid is None:
            return tensor
        if grid.scale.ndim:
            return _simulated(writer, name, tensor, grid)
        scale = writer.initializer(grid.scale, f"{name}/scale")
        zero = writer.initializer(grid.zero_point.astype(UNSIGNED[grid.bits]), f"{name}/zero_point")
        result = writer.node("DequantizeLinear", writer.node("QuantizeLinear", tensor, scale, zero), scale, zero)
        if grid.bits == 8:
            self._integers.add(result)
        return result


def quantised_graph(model: PreTrainedModel, plan: Plan) -> bytes:
    """The model by the plan, as the content of an ONNX file. BackboneError for another architecture."""
    content: bytes = build_graph(model, PlannedQuantiser(plan)).SerializeToString()
    return content


def weight_integers(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int8]:
    """round(values / scale), half to even, from -127 to 127; scale () or one of each column."""
    return np.clip(np.rint(values / scale.astype(np.float64)), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)


def _placed(item: Range, bits: int) -> tuple[float, int]:
    """Scale and zero point. A tensor that is always 0 has no range; any scale will do."""
    steps, middle = 2**bits - 1, 2 ** (bits - 1)
    if item.low == -item.high:
        return item.high / (middle - 1) or 1.0, middle
    scale = (item.high - item.low) / steps
    return scale, round(float(np.clip(-item.low / scale, 0, steps)))


def _simulated(writer: GraphWriter, name: str, tensor: str, grid: Grid) -> str:
    """The values of a grid with a scale for each channel, in FP32 operators.

    QuantizeLinear has an axis too, but ONNX Runtime 1.32 fuses such pairs into integer products that refuse them.
    """
    scale = writer.initializer(grid.scale, f"{name}/scale")
    low = writer.initializer(-grid.zero_point.astype(np.float32), f"{name}/low")
    high = writer.initializer((2**grid.bits - 1 - grid.zero_point).astype(np.float32), f"{name}/high")
    rounded = writer.node("Round", writer.node("Div", tensor, scale))
    return writer.node("Mul", writer.node("Max", writer.node("Min", rounded, high), low), scale)


def _dequantise(
    writer: GraphWriter, name: str, tensor: str, scale: NDArray[np.float32], *, axis: int, dtype: Any = np.int8
) -> str:
    """scale * tensor, symmetric. The zero point is written out: without it ONNX Runtime 1.32 makes no QGemm."""
    stored = writer.initializer(np.asarray(scale, dtype=np.float32), f"{name}/scale")
    zero = writer.initializer(np.zeros(np.shape(scale), dtype=dtype), f"{name}/zero_point")
    attributes: dict[str, Any] = {"axis": axis} if np.ndim(scale) else {}
    return writer.node("DequantizeLinear", tensor, stored, zero, **attributes)
