"""Plots of a result as SVG."""

import io
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.engines.catalog import ONNX_FUSED, ONNX_PLAIN, OURS_ALL_TOKENS, OURS_AVX2, entry_of
from benchmarks.models import Model
from benchmarks.results import Case, Document, Profile
from benchmarks.statistics import Spread
from benchmarks.summary import against_fp32, cases_of, engines_in, models_in, share_of_peak

INK, GRID = "#333333", "#bbbbbb"
COLOURS = {"ours": "#0072B2", "fp32": "#999999", "bf16": "#CC79A7", "int8": "#E69F00"}
HATCHES = ("", "///", "...", "xx", "--")
PIECES = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#F0E442", "#D55E00", "#CC79A7", "#999999", "#dddddd")


def draw(document: Document) -> dict[str, str]:
    """File name to SVG."""
    drawn: dict[str, str] = {}
    for model in models_in(document):
        for threads in dict.fromkeys(case.threads for case in cases_of(document, model)):
            cases = cases_of(document, model, threads)
            drawn[f"speed-{model.name}-{threads}.svg"] = speed(model, cases, threads)
            if any(case.peak_gops for case in cases):
                drawn[f"peak-{model.name}-{threads}.svg"] = peak(model, cases, threads)
    if document.profiles:
        drawn["profile.svg"] = profile(document.profiles)
    return drawn


def speed(model: Model, cases: Sequence[Case], threads: int) -> str:
    """Times faster than the best ONNX Runtime FP32, with the quartiles over rounds."""
    names = [n for n in engines_in(cases) if n not in (ONNX_PLAIN, ONNX_FUSED, OURS_ALL_TOKENS, OURS_AVX2)]
    figure, axes = new_figure()
    values = {name: [_ratio(case, name) for case in cases] for name in names}
    bars(axes, values, [case.shape for case in cases])
    axes.axhline(1, color=INK, linewidth=1)
    axes.set_ylabel("times as fast as ONNX Runtime FP32")
    return svg(figure, axes, f"{model.label}, {_threads(threads)}")


def peak(model: Model, cases: Sequence[Case], threads: int) -> str:
    """Matrix products over the peak of the register loop."""
    kinds, others = ("ours", "int8"), (OURS_ALL_TOKENS, OURS_AVX2)
    names = [name for name in engines_in(cases) if entry_of(name).kind in kinds and name not in others]
    figure, axes = new_figure()
    values = {name: [share_of_peak(case, name) for case in cases] for name in names}
    bars(axes, values, [case.shape for case in cases])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the core's int8 peak")
    return svg(figure, axes, f"{model.label}, {_threads(threads)}: matrix products of the whole model")


def profile(profiles: Sequence[Profile]) -> str:
    """Stacked shares of the time."""
    figure, axes = new_figure()
    labels = [f"{p.model}\n({p.batch},{p.tokens})\n{_threads(p.threads)}" for p in profiles]
    below = [0.0] * len(profiles)
    for index, name in enumerate(profiles[0].shares):
        shares = [100 * p.shares[name] for p in profiles]
        axes.bar(labels, shares, bottom=below, label=name, color=PIECES[index % len(PIECES)])
        below = [low + share for low, share in zip(below, shares, strict=True)]
    axes.set_ylabel("% of the time of all threads")
    return svg(figure, axes, "Where our time goes")


def bars(axes: Axes, values: dict[str, list[Spread | None]], groups: Sequence[str]) -> None:
    """One group a shape, one bar an engine; lines show the quartiles. What was not measured leaves a gap."""
    width = 0.86 / max(len(values), 1)
    seen: dict[str, int] = {}
    for index, (name, spreads) in enumerate(values.items()):
        kind = entry_of(name).kind
        seen[kind] = seen.get(kind, -1) + 1
        places = [group + (index - (len(values) - 1) / 2) * width for group in range(len(groups))]
        found = [(place, item) for place, item in zip(places, spreads, strict=True) if item is not None]
        axes.bar(
            [place for place, _ in found],
            [item.median for _, item in found],
            width * 0.95,
            yerr=[[i.median - i.low for _, i in found], [i.high - i.median for _, i in found]],
            error_kw={"elinewidth": 0.8},
            label=entry_of(name).label,
            color=COLOURS[kind],
            hatch=HATCHES[seen[kind] % len(HATCHES)],
            edgecolor="white",
        )
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlabel("batch x tokens")


def _ratio(case: Case, name: str) -> Spread | None:
    found = against_fp32(case, name)
    return None if found is None else found.ratio


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def new_figure() -> tuple[Figure, Axes]:
    """Wide enough for the longest list of shapes."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, axis="y", color=GRID, alpha=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def svg(figure: Figure, axes: Axes, title: str) -> str:
    """The same input gives the same file."""
    axes.set_title(title)
    axes.legend(fontsize="x-small", ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "intbert", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return buffer.getvalue()
