"""From a result to the figures that tables and plots show. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engines.catalog import CATALOG, ONNX_FUSED, ONNX_PLAIN, OURS, OURS_ALL_TOKENS, OURS_AVX2, entry_of
from benchmarks.models import Model, find_model, work_of
from benchmarks.results import Case, Document, Memory, Stream
from benchmarks.statistics import Spread, geometric_mean, ratios

ONNX_FP32 = (ONNX_PLAIN, ONNX_FUSED)
INT8_PEERS = tuple(entry.name for entry in CATALOG if entry.kind == "int8")


@dataclass(frozen=True, kw_only=True)
class Versus:
    """How many times faster one engine is than the best of some others, round by round."""

    engine: str
    best: str
    ratio: Spread


def engines_in(cases: Sequence[Case]) -> list[str]:
    """Those that were measured, in the catalogue's order."""
    measured = {name for case in cases for name in case.times_ms}
    return [entry.name for entry in CATALOG if entry.name in measured]


def best_of(case: Case, names: Sequence[str]) -> str | None:
    """The engine with the least median; None when none of them was measured."""
    measured = [name for name in names if name in case.times_ms]
    return min(measured, key=lambda name: statistics.median(case.times_ms[name]), default=None)


def versus(case: Case, engine: str, names: Sequence[str]) -> Versus | None:
    """`engine` against the fastest of `names` at this shape; None when either was not measured."""
    best = best_of(case, names)
    if best is None or engine not in case.times_ms:
        return None
    return Versus(engine=engine, best=best, ratio=ratios(case.times_ms[best], case.times_ms[engine]))


def against_fp32(case: Case, engine: str = OURS) -> Versus | None:
    """Against the faster of ONNX Runtime's plain and fused FP32 graphs."""
    return versus(case, engine, ONNX_FP32)


def against_int8(case: Case, engine: str = OURS) -> Versus | None:
    """Against the fastest int8 peer."""
    return versus(case, engine, INT8_PEERS)


def stream_versus(stream: Stream, names: Sequence[str]) -> Versus | None:
    """Rates of ours over the best of `names`."""
    measured = [name for name in names if name in stream.tokens_per_s]
    best = max(measured, key=lambda name: statistics.median(stream.tokens_per_s[name]), default=None)
    if best is None or OURS not in stream.tokens_per_s:
        return None
    ratio = ratios(stream.tokens_per_s[OURS], stream.tokens_per_s[best])
    return Versus(engine=OURS, best=best, ratio=ratio)


def share_of_peak(case: Case, engine: str) -> Spread | None:
    """Matrix products executed, per time, over the peak in the same round. None where no peak is known.

    Floating point is set against the same integer peak: what an engine gets out of the core at all.
    """
    if not case.peak_gops or engine not in case.times_ms:
        return None
    work = work_of(find_model(case.model), [case.tokens] * case.batch)
    operations = work.needed if engine in (OURS, OURS_AVX2) else work.full
    rates = [operations / (time_ms * 1e6) for time_ms in case.times_ms[engine]]
    return ratios(rates, case.peak_gops)


def thread_gain(document: Document, case: Case) -> float | None:
    """This case's speed over the same on one thread."""
    for other in document.cases:
        if (other.model, other.shape, other.threads) == (case.model, case.shape, 1) and case.threads > 1:
            return statistics.median(other.times_ms[OURS]) / statistics.median(case.times_ms[OURS])
    return None


def memory_share(document: Document, memory: Memory) -> float | None:
    """Peak over that of ONNX Runtime's plain FP32 graph."""
    for other in document.memory:
        if (other.model, other.engine) == (memory.model, ONNX_PLAIN):
            return statistics.median(memory.peak_bytes) / statistics.median(other.peak_bytes)
    return None


def models_in(document: Document) -> list[Model]:
    """Models with cases, in order of measurement."""
    return [find_model(name) for name in dict.fromkeys(case.model for case in document.cases)]


def cases_of(document: Document, model: Model, threads: int | None = None) -> list[Case]:
    """Of one model, on one number of threads or on any."""
    return [c for c in document.cases if c.model == model.name and threads in (None, c.threads)]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One line of the list of targets."""

    what: str
    wanted: float
    reached: float
    where: str
    at_most: bool = False

    @property
    def held(self) -> bool:
        """The worst shape's median reaches the target."""
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted


def bars(document: Document) -> list[Bar]:
    """The targets of speed and memory, each with the figure of its worst shape."""
    found: list[Bar] = []
    for model in models_in(document):
        found += _ratio_bars(model, cases_of(document, model))
    return [
        *found,
        *_stream_bars(document),
        *_product_bars(document),
        *_peak_bars(document),
        *_other_bars(document),
        *_memory_bars(document),
    ]


def _ratio_bars(model: Model, cases: Sequence[Case]) -> list[Bar]:
    int8_wanted = {"minilm": 1.3, "base": 1.08}
    if model.name not in int8_wanted:
        return []
    found = _worst(f"{model.label}: against ONNX Runtime FP32", 4.0, cases, ONNX_FP32)
    found += _worst(f"{model.label}: against the best int8 peer", int8_wanted[model.name], cases, INT8_PEERS)
    if model.name == "base":
        mean = geometric_mean(found.ratio.median for found in map(against_int8, cases) if found is not None)
        what = f"{model.label}: against the best int8 peer, geometric mean"
        found.append(Bar(what=what, wanted=1.18, reached=mean, where="all shapes"))
    return found


def _worst(what: str, wanted: float, cases: Sequence[Case], names: Sequence[str]) -> list[Bar]:
    measured = [(case, found) for case in cases if (found := versus(case, OURS, names)) is not None]
    if not measured:
        return []
    case, worst = min(measured, key=lambda item: item[1].ratio.median)
    where = f"{place(case)}, {entry_of(worst.best).label}"
    return [Bar(what=what, wanted=wanted, reached=worst.ratio.median, where=where)]


def _stream_bars(document: Document) -> list[Bar]:
    found: list[Bar] = []
    for label, wanted, names in (("ONNX Runtime FP32", 8.0, ONNX_FP32), ("the best int8 peer", 2.4, INT8_PEERS)):
        measured = [
            (stream, result)
            for stream in document.streams
            if stream.batch > 1 and (result := stream_versus(stream, names)) is not None
        ]
        if measured:
            stream, worst = min(measured, key=lambda item: item[1].ratio.median)
            what = f"mixed lengths in batches of {stream.batch}: against {label}"
            where = f"{_threads(stream.threads)}, {entry_of(worst.best).label}"
            found.append(Bar(what=what, wanted=wanted, reached=worst.ratio.median, where=where))
    return found


def _product_bars(document: Document) -> list[Bar]:
    shares = [
        (gops / products.peak_gops, f"{find_model(products.model).label}, {name}")
        for products in document.products
        for name, gops in products.gops.items()
        if products.peak_gops
    ]
    if not shares:
        return []
    share, where = min(shares)
    return [Bar(what="products alone, share of the peak", wanted=0.9, reached=share, where=where)]


def _peak_bars(document: Document) -> list[Bar]:
    wanted = {("minilm", "1x128"): 0.7, ("minilm", "8x128"): 0.78, ("base", "8x128"): 0.86}
    found: list[Bar] = []
    for case in document.cases:
        share = share_of_peak(case, OURS)
        if (case.model, case.shape) in wanted and case.threads == 1 and share is not None:
            what = f"{find_model(case.model).label}: whole model, share of the peak"
            bar = wanted[case.model, case.shape]
            found.append(Bar(what=what, wanted=bar, reached=share.median, where=place(case)))
    return found


def _other_bars(document: Document) -> list[Bar]:
    found: list[Bar] = []
    for case in document.cases:
        label, gain, avx2 = find_model(case.model).label, thread_gain(document, case), against_fp32(case, OURS_AVX2)
        if case.shape != "1x128" or case.model == "large":
            continue
        if gain is not None and case.threads == 2:
            found.append(Bar(what=f"{label}: 2 threads over 1", wanted=1.85, reached=gain, where=place(case)))
        if avx2 is not None:
            what = f"{label}: AVX2 kernels against ONNX Runtime FP32"
            found.append(Bar(what=what, wanted=1.2, reached=avx2.ratio.median, where=place(case)))
    return found


def _memory_bars(document: Document) -> list[Bar]:
    wanted = {"minilm": 0.42, "base": 0.26}
    found: list[Bar] = []
    for memory in document.memory:
        share = memory_share(document, memory)
        if memory.engine == OURS and memory.model in wanted and share is not None:
            what = f"{find_model(memory.model).label}: peak memory over ONNX Runtime FP32, plain graph"
            found.append(Bar(what=what, wanted=wanted[memory.model], reached=share, where="(1,128)", at_most=True))
    return found


def place(case: Case) -> str:
    """Shape and threads."""
    return f"({case.batch},{case.tokens}), {_threads(case.threads)}"


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def saving(case: Case) -> Spread | None:
    """Time of the last layer in full over that of what the classifier reads."""
    if OURS_ALL_TOKENS not in case.times_ms or OURS not in case.times_ms:
        return None
    return ratios(case.times_ms[OURS_ALL_TOKENS], case.times_ms[OURS])
