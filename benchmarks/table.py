"""Tables in Markdown: read well in a terminal, and are what docs/benchmarks.md shows."""

import statistics
from collections.abc import Sequence

from benchmarks.engines.catalog import ONNX_PLAIN, OURS_ALL_TOKENS, OURS_AVX2, entry_of
from benchmarks.models import Model, find_model
from benchmarks.results import Case, Document
from benchmarks.statistics import Spread, spread
from benchmarks.summary import (
    INT8_PEERS,
    ONNX_FP32,
    Versus,
    against_fp32,
    against_int8,
    bars,
    cases_of,
    engines_in,
    memory_share,
    models_in,
    saving,
    share_of_peak,
    stream_versus,
    thread_gain,
)

NOTHING = "–"


def tables(document: Document) -> str:
    """Everything that was measured."""
    parts = [
        section("Targets", bar_table(document)) if document.cases else "",
        *(model_tables(document, model) for model in models_in(document)),
        section("Mixed lengths", stream_table(document)) if document.streams else "",
        section("Memory", memory_table(document)) if document.memory else "",
        profile_tables(document),
        section("Do all engines compute the same model?", agreement_table(document)) if document.agreement else "",
        section("Not measured", failure_table(document)) if document.failures else "",
    ]
    return "\n\n".join(part for part in parts if part)


def section(title: str, body: str, level: int = 2) -> str:
    """A heading and what belongs to it."""
    return f"{'#' * level} {title}\n\n{body}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, so that the source can be read too."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def ratio(found: Spread | None) -> str:
    """ "4.71 (4.65-4.80)"."""
    return NOTHING if found is None else f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"


def percent(found: Spread | None) -> str:
    """Median alone."""
    return NOTHING if found is None else f"{100 * found.median:.0f} %"


def model_tables(document: Document, model: Model) -> str:
    """Ratios first, then times, then shares of the peak."""
    cases = cases_of(document, model)
    shapes = f"{model.layers} layers, {model.channels} channels"
    weights = f"weights of `{model.package}`" if model.package else "random weights"
    parts = [f"## {model.label}\n\n{shapes}, {weights}.", section("Ratios", ratio_table(document, cases), 3)]
    for threads in dict.fromkeys(case.threads for case in cases):
        chosen = [case for case in cases if case.threads == threads]
        title = "one thread" if threads == 1 else f"{threads} threads"
        parts.append(section(f"Median ms, {title}", time_table(chosen), 3))
        if any(case.peak_gops for case in chosen):
            parts.append(section(f"Share of the int8 peak, {title}", peak_table(chosen), 3))
    return "\n\n".join(parts)


def ratio_table(document: Document, cases: Sequence[Case]) -> str:
    """One line a shape and number of threads."""
    rows = []
    for case in cases:
        full = against_fp32(case, OURS_ALL_TOKENS)
        gain = thread_gain(document, case)
        int8 = against_int8(case)
        rows.append(
            [
                f"({case.batch},{case.tokens})",
                str(case.threads),
                ratio_of(against_fp32(case)),
                ratio_of(int8),
                NOTHING if int8 is None else entry_of(int8.best).label,
                ratio_of(full),
                ratio_of(against_int8(case, OURS_ALL_TOKENS)),
                ratio(saving(case)),
                NOTHING if gain is None else f"{gain:.2f}",
            ]
        )
    header = ["shape", "threads", "vs ONNX Runtime FP32", "vs best int8 peer", "which", "last layer in full: vs FP32"]
    table = markdown([*header, "vs int8", "what the saving gives", "over 1 thread"], rows)
    return "\n\n".join([table, *avx2_lines(cases)])


def ratio_of(found: Versus | None) -> str:
    return NOTHING if found is None else ratio(found.ratio)


def avx2_lines(cases: Sequence[Case]) -> list[str]:
    """The AVX2 kernels, where they were measured."""
    found = [(case, versus) for case in cases if (versus := against_fp32(case, OURS_AVX2)) is not None]
    return [
        f"With the AVX2 kernels at ({case.batch},{case.tokens}), threads {case.threads}: {ratio(versus.ratio)} times "
        "ONNX Runtime FP32."
        for case, versus in found
    ]


def time_table(cases: Sequence[Case]) -> str:
    """Engines down, shapes across; in brackets the speed against the best ONNX Runtime FP32."""
    rows = []
    for name in engines_in(cases):
        cells = []
        for case in cases:
            if name not in case.times_ms:
                cells.append(NOTHING)
                continue
            against = against_fp32(case, name)
            times = f" [{against.ratio.median:.1f}]" if against is not None and name not in ONNX_FP32 else ""
            cells.append(number(spread(case.times_ms[name]).median) + times)
        rows.append([entry_of(name).label, *cells])
    return markdown(["engine", *(f"({case.batch},{case.tokens})" for case in cases)], rows)


def peak_table(cases: Sequence[Case]) -> str:
    """Matrix products only; ours counted without what it need not compute."""
    names = [name for name in engines_in(cases) if name != OURS_AVX2]
    rows = [[entry_of(name).label, *(percent(share_of_peak(case, name)) for case in cases)] for name in names]
    peaks = [number(statistics.median(case.peak_gops)) if case.peak_gops else NOTHING for case in cases]
    rows.append(["the peak, GOP/s", *peaks])
    return markdown(["engine", *(f"({case.batch},{case.tokens})" for case in cases)], rows)


def stream_table(document: Document) -> str:
    """Real tokens a second, in batches and one by one."""
    names = list(dict.fromkeys(name for stream in document.streams for name in stream.tokens_per_s))
    rows = [
        [entry_of(name).label, *(number(spread(s.tokens_per_s[name]).median) for s in document.streams)]
        for name in names
    ]
    peers = {"ours over the best ONNX Runtime FP32": ONNX_FP32, "ours over the best int8 peer": INT8_PEERS}
    for label, names_of_peers in peers.items():
        rows.append([label, *(ratio_of(stream_versus(stream, names_of_peers)) for stream in document.streams)])
    header = [f"{find_model(s.model).label}, batch {s.batch}, {s.threads} thr." for s in document.streams]
    table = markdown(["real tokens/s", *header], rows)
    padding = next((s.padded_over_real for s in document.streams if s.batch > 1), 1.0)
    return f"{table}\n\nPadded over real tokens in batches: {padding:.2f}."


def memory_table(document: Document) -> str:
    """Of fresh processes."""
    rows = []
    for memory in document.memory:
        share = memory_share(document, memory)
        rows.append(
            [
                find_model(memory.model).label,
                entry_of(memory.engine).label,
                number(statistics.median(memory.peak_bytes) / 1e6),
                number(statistics.median(memory.bytes) / 1e6),
                NOTHING if share is None else f"{100 * share:.0f} %",
            ]
        )
    return markdown(["model", "engine", "peak MB", "resident MB", f"of {entry_of(ONNX_PLAIN).label}"], rows)


def profile_tables(document: Document) -> str:
    """Products alone, then the profile."""
    parts = []
    if document.products:
        parts.append(section("Products alone", products_table(document)))
    if document.profiles:
        parts.append(section("Where our time goes", share_table(document)))
    return "\n\n".join(parts)


def products_table(document: Document) -> str:
    """With their epilogues, one thread."""
    rows = [
        [find_model(p.model).label, name, number(gops), f"{100 * gops / p.peak_gops:.1f} %" if p.peak_gops else NOTHING]
        for p in document.products
        for name, gops in p.gops.items()
    ]
    return markdown(["model", f"product, {document.products[0].rows} rows", "GOP/s", "of the peak"], rows)


def share_table(document: Document) -> str:
    """Share of the time of all threads."""
    header = [f"{find_model(p.model).label} ({p.batch},{p.tokens}), {p.threads} thr." for p in document.profiles]
    names = list(document.profiles[0].shares)
    rows = [[name, *(f"{100 * p.shares[name]:.1f} %" for p in document.profiles)] for name in names]
    rows.append(["median ms", *(number(p.median_ms) for p in document.profiles)])
    return markdown(["operation", *header], rows)


def bar_table(document: Document) -> str:
    """The worst shape of each target."""
    rows = [
        [
            bar.what,
            f"{'<=' if bar.at_most else '>='} {bar.wanted:.2f}",
            f"{bar.reached:.2f}",
            "held" if bar.held else "missed",
            bar.where,
        ]
        for bar in bars(document)
    ]
    return markdown(["what", "wanted", "reached", "", "the worst"], rows)


def agreement_table(document: Document) -> str:
    """Correlation with the FP32 graph."""
    names = list(dict.fromkeys(name for found in document.agreement.values() for name in found))
    rows = [
        [
            entry_of(name).label,
            *(f"{found[name]:.3f}" if name in found else NOTHING for found in document.agreement.values()),
        ]
        for name in names
    ]
    return markdown(["engine", *(find_model(name).label for name in document.agreement)], rows)


def failure_table(document: Document) -> str:
    """What and why."""
    return markdown(["what", "why"], [[what, why.replace("\n", " ")[:200]] for what, why in document.failures.items()])
