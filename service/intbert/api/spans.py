"""A request's stages as spans, named as `Server-Timing` names them."""

from collections.abc import Iterable, Iterator

from intbert.runtime.answers import Timings
from intbert.telemetry.traces import Stage


def stages_of(timings: Iterable[tuple[str, Timings]]) -> Iterator[Stage]:
    """Of (variant, timings). Of several inputs the longest wait and the longest compute, so two stages may overlap."""
    for variant, known in timings:
        parts = (
            ("tokenize", known.begun_s, known.tokenize_s),
            ("queue", known.begun_s + known.tokenize_s, known.queue_s),
            ("compute", known.computed_s - known.compute_s, known.compute_s),
            ("post", known.computed_s, known.postprocess_s),
        )
        for name, begun_s, duration_s in parts:
            attributes = {"intbert.variant": variant}
            yield Stage(name=name, begun_s=begun_s, ended_s=begun_s + duration_s, attributes=attributes)
