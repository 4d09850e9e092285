"""The variant `dq`: ONNX Runtime's dynamic quantisation as its users know it, and Q8BERT's baseline of that name.

Weights and word rows in int8, one scale a tensor, no training and no calibration: the range of what a matrix reads is
taken from every batch anew.
"""

from pathlib import Path

from intbert.builder.fp32_graph import build_fp32_graph
from intbert.builder.variants.contract import BuiltVariant, VariantInputs


def build_dq(inputs: VariantInputs) -> BuiltVariant:
    """Quantise the FP32 graph with ONNX Runtime's own tool, at its defaults."""
    path = inputs.folder / "dynamic.onnx"
    quantise_dynamically(inputs, path)
    return BuiltVariant(
        file="dq.onnx",
        content=path,
        engine="onnx",
        stored_dtype="int8",
        integer_parts="Matrix products with weights, of 8-bit weights and 8-bit inputs; word and token type rows.",
        float_parts=(
            "Ranges of the inputs (found anew for every batch), scales, bias, both matrix products of attention, "
            "softmax, GELU, LayerNorm, residual sums, position rows and tanh."
        ),
    )


def quantise_dynamically(inputs: VariantInputs, path: Path) -> None:
    """Write the file. The tool wants weights in FP32."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = build_fp32_graph(inputs.teacher, half_precision_weights=False)
    quantize_dynamic(model, path, weight_type=QuantType.QInt8)
