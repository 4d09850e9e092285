"""The report's part about single tensors: what rounding each costs, and what was done about outlier channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intbert.builder.charts import Line, heat_map, line_chart
from intbert.model.inspection import measured_of
from intbert.model.manifest import Manifest

TOOL_NAMES = {
    "one_scale": "one scale",
    "folded_groups": "six groups",
    "powers_of_two": "powers of two",
    "channel_factors": "channel factors",
    "shifted_groups": "six groups, shifted",
    "split_channels": "four split",
}
LAYER_TENSORS = {
    "qkv": "weights Q, K, V",
    "query": "query",
    "key": "key",
    "value": "value",
    "context": "context",
    "attention_output": "weights attention output",
    "attention_norm.view": "first LayerNorm, 8 bits",
    "attention_norm.residual": "first LayerNorm, 16 bits",
    "ffn_input": "weights FFN input",
    "gelu": "GELU output",
    "ffn_output": "weights FFN output",
    "ffn_norm.view": "second LayerNorm, 8 bits",
    "ffn_norm.residual": "second LayerNorm, 16 bits",
}


@dataclass(frozen=True, kw_only=True)
class OutlierRow:
    """One tensor that a matrix reads: relative errors of the reader's outputs in percent, by tool."""

    tensor: str
    errors: Sequence[str]  # in the order of TOOL_NAMES
    taken: int  # which of them the program uses


@dataclass(frozen=True, kw_only=True)
class OutlierTable:
    """All such tensors of one integer variant, and a chart of the two ends: one scale, and what was taken."""

    variant: str
    rows: Sequence[OutlierRow]
    chart: str


def cost_chart(manifest: Manifest) -> str:
    """Heat map of the error of the last hidden state, layers by tensors; empty when it was not measured."""
    costs = _costs(manifest)
    if not costs:
        return ""
    layers = range(manifest.architecture.layers)
    values = [[costs.get(f"layers.{layer}.{name}") for layer in layers] for name in LAYER_TENSORS]
    columns = [f"layer {layer}" if layer == 0 else str(layer) for layer in layers]
    return heat_map("cost", "Cost of rounding one tensor alone", list(LAYER_TENSORS.values()), columns, values)


def other_costs(manifest: Manifest) -> dict[str, str]:
    """Percentages of the tensors outside of layers."""
    return {name: f"{cost:.2g}" for name, cost in _costs(manifest).items() if not name.startswith("layers.")}


def outlier_tables(manifest: Manifest) -> list[OutlierTable]:
    """One for each integer variant that tells how it was calibrated."""
    integer = (name for name, variant in manifest.variants.items() if variant.engine == "integer")
    found = ((name, measured_of(manifest, name)["outliers"]) for name in integer)
    return [_table(name, tensors) for name, tensors in found if tensors]


def _costs(manifest: Manifest) -> dict[str, float]:
    """Tensor -> error of the last hidden state in percent."""
    measured: Any = manifest.card.measured.get("tensor_cost")
    return {row["tensor"]: 100 * row["hidden"] for row in measured["costs"]} if measured else {}


def _table(variant: str, tensors: Sequence[Mapping[str, Any]]) -> OutlierTable:
    compared = [tensor for tensor in tensors if set(TOOL_NAMES) <= set(tensor["errors"])]
    rows = [
        OutlierRow(
            tensor=tensor["tensor"],
            errors=[f"{100 * tensor['errors'][tool]:.2f}" for tool in TOOL_NAMES],
            taken=list(TOOL_NAMES).index(tensor["tool"]),
        )
        for tensor in compared
    ]
    series = [
        Line(name="as taken", values=[100 * tensor["errors"][tensor["tool"]] for tensor in compared]),
        Line(name="one scale", values=[100 * tensor["errors"]["one_scale"] for tensor in compared]),
    ]
    points = [_short(tensor["tensor"]) for tensor in compared]
    title = "Error of what reads each tensor"
    chart = line_chart(f"outliers-{variant}", title, points, series, "relative RMS, %") if compared else ""
    return OutlierTable(variant=variant, rows=rows, chart=chart)


def _short(tensor: str) -> str:
    """A layer's number under its first tensor, nothing under the others: names would overlap."""
    if not tensor.startswith("layers."):
        return "input" if tensor.startswith("embedding") else "head"
    return tensor.split(".")[1] if tensor.endswith("attention_norm.view") else ""
