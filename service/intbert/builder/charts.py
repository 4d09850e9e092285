"""Charts of the report as inline SVG: text stays text; colours are CSS variables, so light and dark both read well."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#0000f0"  # stand-ins, replaced by the CSS variables below
GRID = "#0000f1"
SERIES = ("#0000f2", "#0000f3")
VARIABLES = {INK: "var(--ink)", GRID: "var(--rule)", SERIES[0]: "var(--int8)", SERIES[1]: "var(--fp32)"}
WIDTH_INCHES = 7.2
HEIGHT_INCHES = 2.9
HEAT_ALPHA = 0.6  # of the largest value: the number in it stays readable


@dataclass(frozen=True, kw_only=True)
class Line:
    """One named series."""

    name: str
    values: Sequence[float]


def bar_chart(identity: str, title: str, groups: Sequence[str], series: Sequence[Line], unit: str) -> str:
    """Two bars a group, each with its value above it. Values of a series: one a group."""
    figure, axes = _new_axes()
    width = 0.38
    for index, line in enumerate(series):
        places = [place + (index - 0.5) * width for place in range(len(groups))]
        bars = axes.bar(places, line.values, width * 0.94, label=line.name, color=SERIES[index])
        axes.bar_label(bars, fmt="%.3g", padding=2, color=INK, fontsize=9)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(unit, color=INK)
    axes.margins(y=0.15)
    return _svg(figure, axes, identity, title)


def line_chart(identity: str, title: str, points: Sequence[str], series: Sequence[Line], unit: str) -> str:
    """Up to two lines over named points. Values of a series: one a point."""
    figure, axes = _new_axes()
    for index, line in enumerate(series):
        axes.plot(
            range(len(points)),
            line.values,
            "os"[index] + "-",
            label=line.name,
            color=SERIES[index],
            linewidth=2,
            markersize=6,
        )
    axes.set_xticks(range(len(points)), points)
    axes.set_ylabel(unit, color=INK)
    axes.set_ylim(bottom=0)
    return _svg(figure, axes, identity, title)


def heat_map(
    identity: str, title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]]
) -> str:
    """A cell for each value, the darker the larger, with the value in it. values: one sequence a row; None: no cell."""
    from matplotlib.patches import Rectangle

    figure, axes = _new_axes(height_inches=0.6 + 0.28 * len(rows))
    size = min(8.5, 100 / max(len(columns), 1))  # points; the numbers of a model of 24 layers must not overlap
    largest = max((value for row in values for value in row if value is not None), default=0.0) or 1.0
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value is not None:
                shade = HEAT_ALPHA * value / largest
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=SERIES[0], alpha=shade, linewidth=0))
                axes.text(x, y, f"{value:.2g}", ha="center", va="center", color=INK, fontsize=size)
    axes.grid(visible=False)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.xaxis.tick_top()
    return _svg(figure, axes, identity, title)


def _new_axes(height_inches: float = HEIGHT_INCHES) -> "tuple[Any, Axes]":
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0, labelsize=10)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def _svg(figure: Any, axes: "Axes", identity: str, title: str) -> str:
    """The figure as one `<svg>` element whose ids begin with `identity`."""
    from matplotlib import rc_context

    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, fontsize=10)
    text = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": identity}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{identity}-", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 system-ui, sans-serif", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg height="[^"]*" ', "<svg ", re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1), count=1)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
