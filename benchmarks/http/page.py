"""docs/benchmarks-http.md from a result: what was measured, and nothing that was not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import markdown

METHOD = Path(__file__).with_name("method.md")
SPEED_BARS = {"intbert FP32": 3.0, "LitServe": 1.5, "BentoML": 1.5}
ENGINE_BAR = 0.7
SHADOW_BAR = 1.3


def write_page(document: dict[str, Any], path: Path) -> Path:
    """Overwrites it."""
    path.write_text("\n".join(_lines(document)) + "\n", encoding="utf-8")
    return path


def _lines(document: dict[str, Any]) -> Iterator[str]:
    machine = document["machine"]
    yield from ("# The server under load", "", "Written by `make bench-http`; don't edit.", "")
    yield from (f"Measured {document['measured_at'][:10]} on {machine['cores']} cores of {machine['cpu']}.", "")
    yield METHOD.read_text(encoding="utf-8")
    for part, write in (("speed", _speed), ("shadow", _shadow), ("overload", _overload)):
        if part in document:
            yield from write(document[part])


def _speed(found: dict[str, Any]) -> Iterator[str]:
    share, ratios = found["engine_share"], found["ratios"]
    yield from ("## Requests a second at saturation", "")
    rows = [
        (name, f"{rate:,.0f}", *_versus(ratios.get(name), SPEED_BARS.get(name)))
        for name, rate in found["per_s"].items()
    ]
    yield markdown(("server", "requests/s", "intbert int8 over it", "wanted"), rows)
    yield from ("", "## The engine's share of our processor time", "")
    held = _held(share >= ENGINE_BAR)
    yield f"The engine has {share:.0%} of the server's processor time; wanted {ENGINE_BAR:.0%}: {held}."
    yield from ("", "## The settings that were tried", "")
    tried = [
        (name, tuning, f"{per_s:,.0f}") for name, rates in found["tunings"].items() for tuning, per_s in rates.items()
    ]
    yield markdown(("server", "settings", "requests/s"), tried)
    yield ""


def _versus(ratio: float | None, bar: float | None) -> tuple[str, str]:
    if ratio is None or bar is None:
        return ("–", "–")
    return (f"{ratio:.2f}", f">= {bar:g}: {_held(ratio >= bar)}")


def _shadow(found: dict[str, Any]) -> Iterator[str]:
    ratio = found["p99_ratio"]
    yield from ("## Shadow comparisons", "")
    rows = [
        (str(number), f"{pair['without']:.1f}", f"{pair['with']:.1f}", f"{pair['ratio']:.2f}")
        for number, pair in enumerate(found["pairs"], 1)
    ]
    yield markdown(("pair", "p99 without, ms", "p99 with, ms", "ratio"), rows)
    yield ""
    yield (
        f"At {found['rate_per_s']:.0f} requests/s, half of the capacity, with a rate of {found['shadow_rate']:g} "
        f"({found['comparisons']:.0f} inputs compared): median ratio {ratio:.2f}, wanted <= {SHADOW_BAR:g}: "
        f"{_held(ratio <= SHADOW_BAR)}."
    )
    yield ""


def _overload(found: dict[str, Any]) -> Iterator[str]:
    memory, statuses, told = found["resident_mib"], found["statuses"], found["retry_after_ratio"]
    p99_ms, deadline_ms, recovery_s = found["accepted_p99_ms"], found["deadline_ms"], found["recovery_s"]
    answers = ", ".join(f"{count} x {status}" for status, count in statuses.items())
    only_expected = set(statuses) <= {"200", "429"}
    yield from ("## Overload", "")
    yield (
        f"{found['requests']} requests of {found['inputs_a_request']} texts at {found['offered_per_s']:.0f}/s, three "
        f"times the capacity; the queue holds {found['queue_tokens']} tokens."
    )
    yield ""
    rows = [
        ("accepted requests, p99", f"{p99_ms:.0f} ms", f"<= {deadline_ms:.0f} ms: {_held(p99_ms <= deadline_ms)}"),
        ("answers", answers, f"200 and 429 only: {_held(only_expected)}"),
        ("`retry_after_ms` over the true time, median", f"{told:.2f}", f"0.5 to 2: {_held(0.5 <= told <= 2)}"),
        ("resident memory before, most", f"{memory['before']:.0f}, {memory['most']:.0f} MiB", "bounded"),
        ("a short text within 100 ms again after", f"{recovery_s:.2f} s", f"<= 1 s: {_held(recovery_s <= 1)}"),
    ]
    yield markdown(("what", "measured", "wanted"), rows)


def _held(held: bool) -> str:
    return "held" if held else "missed"
