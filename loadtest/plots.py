"""Plots of a run as SVG, for a page that needs no network. Colours are told apart by colour-blind readers too."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.plan import EndpointResult, Phase

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def latency_over_rate(result: EndpointResult) -> str:
    """p50 and p99 over the offered rate, with the SLO and each variant's saturation."""
    figure, axes = _figure("requests offered per second", "latency from the due time, ms")
    for colour, variant in zip(COLOURS, result.saturation, strict=False):
        phases = [phase for phase in result.phases if phase.variant == variant and phase.summary.answered]
        rates = [phase.rate for phase in phases]
        axes.plot(
            rates, [phase.summary.p99_ms or np.nan for phase in phases], "o-", color=colour, label=f"{variant} p99"
        )
        axes.plot(
            rates, [phase.summary.p50_ms or np.nan for phase in phases], "s--", color=colour, label=f"{variant} p50"
        )
        axes.axvline(result.saturation[variant].answered_per_s, color=colour, linestyle=":", linewidth=1)
    axes.axhline(result.slo_ms, color="#444", linewidth=1, label=f"SLO {result.slo_ms:g} ms")
    axes.set_yscale("log")
    return _svg(figure, axes, f"{result.endpoint}: latency (dotted: saturation)")


def goodput_over_rate(result: EndpointResult) -> str:
    """Answers within the SLO per second over the offered rate; the diagonal is what was asked for."""
    figure, axes = _figure("requests offered per second", f"answers within {result.slo_ms:g} ms, per second")
    for colour, variant in zip(COLOURS, result.saturation, strict=False):
        phases = [phase for phase in result.phases if phase.variant == variant]
        axes.plot(
            [phase.rate for phase in phases],
            [phase.summary.goodput_per_s for phase in phases],
            "o-",
            color=colour,
            label=variant,
        )
    top = max(phase.rate for phase in result.phases)
    axes.plot([0, top], [0, top], color="#999", linewidth=1, label="all of them")
    axes.set_ylim(bottom=0)
    return _svg(figure, axes, f"{result.endpoint}: goodput")


def latency_distribution(result: EndpointResult) -> str:
    """Share of requests that took longer than x, at the lowest rate that all variants had to bear."""
    rate = min(phase.rate for phase in result.phases)
    figure, axes = _figure("latency from the due time, ms", "share of requests that took longer")
    for colour, phase in zip(COLOURS, _at(result.phases, rate), strict=False):
        latencies_ms = np.sort([outcome.latency_s * 1000 for outcome in phase.outcomes if outcome.status == 200])
        if latencies_ms.size:
            longer = 1 - np.arange(latencies_ms.size) / latencies_ms.size
            axes.step(latencies_ms, longer, where="post", color=colour, label=phase.variant)
    axes.set_xscale("log")
    axes.set_yscale("log")
    return _svg(figure, axes, f"{result.endpoint}: latencies at {rate:g} requests/s")


def _at(phases: Sequence[Phase], rate: float) -> list[Phase]:
    return [phase for phase in phases if phase.rate == rate]


def _figure(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.8, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _svg(figure: Figure, axes: Axes, title: str) -> str:
    axes.set_title(title)
    axes.legend(fontsize="small")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
