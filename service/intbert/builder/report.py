"""`report.html`: one self-contained page about a package, rendered from its manifest alone."""

from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from intbert.builder.charts import Line, bar_chart, line_chart
from intbert.builder.report_accuracy import (
    Sure,
    agreement_on_dev,
    confident_errors,
    elsewhere_rows,
    figures_of,
    group_metric,
    group_rows,
    in_points,
    metric_name,
    sure,
    sure_difference,
)
from intbert.builder.report_tensors import TOOL_NAMES, cost_chart, other_costs, outlier_tables
from intbert.builder.report_variants import variant_rows
from intbert.model.manifest import Manifest
from intbert.runtime.figures import signed

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row of the headline: a quantity of both variants and what it means."""

    name: str
    int8: Sure
    fp32: Sure
    verdict: Sure


def render_report(manifest: Manifest) -> bytes:
    """The page, UTF-8. The manifest's card must hold what `card.py` measures."""
    environment = Environment(
        loader=PackageLoader("intbert.builder"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        manifest=manifest,
        measured=manifest.card.measured,
        comparisons=comparisons(manifest),
        agreement=agreement_on_dev(manifest),
        elsewhere=elsewhere_rows(manifest),
        gate_metric=metric_name(manifest.gate.metric),
        group_metric=group_metric(manifest),
        groups=list(group_rows(manifest)),
        errors=confident_errors(manifest),
        variants=variant_rows(manifest),
        latency_chart=latency_chart(manifest),
        error_chart=error_chart(manifest),
        training_chart=training_chart(manifest),
        cost_chart=cost_chart(manifest),
        other_costs=other_costs(manifest),
        outlier_tables=outlier_tables(manifest),
        tool_names=TOOL_NAMES,
    )
    return page.encode()


def comparisons(manifest: Manifest) -> list[Comparison]:
    """Accuracy, size, latency and memory: int8 beside FP32."""
    return [
        *_metric_rows(manifest),
        *_calibration_rows(manifest),
        _size_row(manifest),
        *_latency_rows(manifest),
        *_memory_rows(manifest),
    ]


def _metric_rows(manifest: Manifest) -> list[Comparison]:
    """With intervals where the card has them; older packages have the values alone."""
    ours, theirs = (figures_of(manifest, name) for name in ("int8", "fp32"))
    if ours and theirs:
        return [
            Comparison(
                name=metric_name(metric),
                int8=sure(ours, metric),
                fp32=sure(theirs, metric),
                verdict=in_points(sure_difference(ours["against"], metric)),
            )
            for metric in ours["metrics"]
        ]
    values = [manifest.card.metrics[name] for name in ("int8", "fp32")]
    return [_points_row(metric_name(metric), *(found[metric] for found in values)) for metric in values[0]]


def _calibration_rows(manifest: Manifest) -> list[Comparison]:
    """Of single-label classification."""
    ours, theirs = (figures_of(manifest, name).get("calibration_error") for name in ("int8", "fp32"))
    return [] if ours is None or theirs is None else [_points_row("expected calibration error", ours, theirs)]


def _points_row(name: str, ours: float, theirs: float) -> Comparison:
    return Comparison(
        name=name,
        int8=Sure(value=f"{ours:.2f}"),
        fp32=Sure(value=f"{theirs:.2f}"),
        verdict=Sure(value=f"{signed(ours - theirs)} points"),
    )


def _size_row(manifest: Manifest) -> Comparison:
    small, large = manifest.variants["int8"].bytes, manifest.variants["fp32"].bytes_at_fp32
    return Comparison(
        name="size, FP32 at four bytes a parameter",
        int8=Sure(value=f"{small / MEBIBYTE:.1f} MiB"),
        fp32=Sure(value=f"{large / MEBIBYTE:.1f} MiB"),
        verdict=Sure(value=f"{100 * small / large:.1f} %"),
    )


def _latency_rows(manifest: Manifest) -> list[Comparison]:
    rows = []
    for shape, (ours, theirs) in latencies(manifest).items():
        verdict = f"{theirs / ours:.1f} times as fast" if ours > 0 else ""
        rows.append(
            Comparison(
                name=f"latency, {shape}",
                int8=Sure(value=f"{ours:.2f} ms"),
                fp32=Sure(value=f"{theirs:.2f} ms"),
                verdict=Sure(value=verdict),
            )
        )
    return rows


def _memory_rows(manifest: Manifest) -> list[Comparison]:
    memory: Any = manifest.card.measured.get("memory", {})
    if not {"int8", "fp32"} <= set(memory):
        return []
    ours, theirs = (memory[name]["after"] for name in ("int8", "fp32"))
    return [
        Comparison(
            name="resident memory of a fresh process",
            int8=Sure(value=f"{ours / MEBIBYTE:.0f} MiB"),
            fp32=Sure(value=f"{theirs / MEBIBYTE:.0f} MiB"),
            verdict=Sure(value=f"{100 * ours / theirs:.0f} %"),
        )
    ]


def latencies(manifest: Manifest) -> dict[str, tuple[float, float]]:
    """Shape -> median milliseconds of int8 and FP32."""
    latency: Any = manifest.card.measured.get("latency", {"rows": []})
    shapes: dict[str, dict[str, float]] = {}
    for row in latency["rows"]:
        sequences = "1 sequence" if row["batch"] == 1 else f"{row['batch']} sequences"
        shapes.setdefault(f"{sequences} of {row['tokens']} tokens", {})[row["variant"]] = row["median_ms"]
    return {shape: (found["int8"], found["fp32"]) for shape, found in shapes.items() if {"int8", "fp32"} <= set(found)}


def latency_chart(manifest: Manifest) -> str:
    """Bars of the median latency, empty when none was measured."""
    found = latencies(manifest)
    if not found:
        return ""
    series = [
        Line(name="int8", values=[ours for ours, _ in found.values()]),
        Line(name="FP32 in ONNX Runtime", values=[theirs for _, theirs in found.values()]),
    ]
    return bar_chart("latency", "Median latency by shape", list(found), series, "median, ms")


def error_chart(manifest: Manifest) -> str:
    """Lines of the relative error after each layer, empty when it was not measured."""
    error: Any = manifest.card.measured.get("layer_error")
    if not error:
        return ""
    series = [
        Line(name="against the same weights in floating point", values=[100 * value for value in error["own_weights"]]),
        Line(name="against the FP32 original", values=[100 * value for value in error["original"]]),
    ]
    return line_chart(
        "error", "Relative error of hidden states after each layer", error["points"], series, "relative RMS, %"
    )


def training_chart(manifest: Manifest) -> str:
    """Lines of the quantised model's training loss, empty without training."""
    steps: Any = manifest.card.measured.get("training", {}).get("student", [])  # type: ignore[union-attr]
    losses = [(entry["step"], entry["loss"]) for entry in steps if "loss" in entry]
    if len(losses) < 2:
        return ""
    stride = max(1, len(losses) // 12)
    points = [str(step) if index % stride == 0 else "" for index, (step, _) in enumerate(losses)]
    return line_chart(
        "training",
        "Training loss",
        points,
        [Line(name="loss of the quantised model", values=[v for _, v in losses])],
        "loss",
    )
