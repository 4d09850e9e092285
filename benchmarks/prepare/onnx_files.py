"""ONNX Runtime's own tools on the plain graph: fusion, dynamic and static quantisation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from benchmarks.models import Files, Model
from benchmarks.prepare.source import calibration_feeds


class Feeds(CalibrationDataReader):  # type: ignore[misc]  # the library ships no types
    """Random texts, as ONNX Runtime's calibration asks for them."""

    def __init__(self, model: Model) -> None:
        self._feeds: Iterator[dict[str, Any]] = calibration_feeds(model)

    def get_next(self) -> dict[str, Any] | None:
        """The next one, or None."""
        return next(self._feeds, None)


def write_fused(model: Model, files: Files, target: Path) -> None:
    """Attention, GELU, embedding and residual LayerNorm as single operators. ValueError if attention was not found."""
    fused = optimizer.optimize_model(
        str(files.onnx),
        model_type="bert",
        num_heads=model.heads,
        hidden_size=model.channels,
        optimization_options=FusionOptions("bert"),
        opt_level=0,
    )
    statistics: dict[str, int] = fused.get_fused_operator_statistics()
    if statistics.get("Attention", 0) != model.layers:
        raise ValueError(f"{model.name}: the offline optimiser fused {statistics}, expected {model.layers} Attention")
    fused.save_model_to_file(str(target))


def write_dynamic(_: Model, files: Files, target: Path) -> None:
    """The usual recipe of Transformers on ONNX Runtime: s8 weights, activations quantised at run time."""
    quantize_dynamic(str(files.onnx), str(target), weight_type=QuantType.QInt8)


def write_qdq(model: Model, files: Files, target: Path) -> None:
    """Static u8 activations and s8 weights a channel around every product; ranges from random texts."""
    quantize_static(
        str(files.onnx),
        str(target),
        Feeds(model),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul"],
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"MatMulConstBOnly": True},
    )
