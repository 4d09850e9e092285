"""The part of the report about accuracy: intervals, other domains, kinds of examples, errors. All in percent.

A package that was built before these were measured has none of it, and its report leaves the sections out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from intbert.model.manifest import Manifest
from intbert.runtime.figures import signed

TOGETHER = "all together, dev data included"
PARTITIONS = {
    "length": "length of the input",
    "negation": "negation in the text",
    "label": "expected label",
    "question": "kind of question",
    "answer": "length of the expected answer",
    "context": "context",
}


@dataclass(frozen=True, kw_only=True)
class Sure:
    """A figure and between what it lies; no range where none was measured."""

    value: str
    low_high: str = ""


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """One set of examples: int8 beside FP32."""

    name: str
    examples: int
    int8: Sure
    fp32: Sure
    difference: Sure
    agreement: str


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """One group of examples; `by` only at the first of a partition."""

    by: str
    name: str
    examples: int
    int8: str
    fp32: str
    difference: str


def metric_name(metric: str) -> str:
    """As people write it."""
    return "F1" if metric == "f1" else metric.replace("_", " ")


def figures_of(manifest: Manifest, variant: str) -> Mapping[str, Any]:
    """What was measured of a variant on the dev data; empty in a package that does not say."""
    figures: Any = manifest.card.measured.get("figures") or {}
    found: Mapping[str, Any] = figures.get(variant, {})
    return found


def sure(figures: Mapping[str, Any], metric: str) -> Sure:
    """A metric with its interval."""
    low, high = figures["intervals"][metric]
    return Sure(value=f"{figures['metrics'][metric]:.2f}", low_high=f"{low:.2f} to {high:.2f}")


def sure_difference(against: Mapping[str, Any], metric: str) -> Sure:
    """A paired difference in points, with its interval."""
    difference = against["differences"][metric]
    low, high = difference["interval"]
    return Sure(value=signed(difference["value"]), low_high=f"{signed(low)} to {signed(high)}")


def in_points(difference: Sure) -> Sure:
    """With its unit, for a column that has others."""
    return replace(difference, value=f"{difference.value} points")


def agreement_on_dev(manifest: Manifest) -> str:
    """Percent of the dev examples on which int8 and FP32 say the same; empty where it is not known."""
    return _agreement(figures_of(manifest, "int8").get("against") or {})


def elsewhere_rows(manifest: Manifest) -> list[SetRow]:
    """Each file of another domain, then all together; by the gate's metric."""
    elsewhere: Any = manifest.card.measured.get("elsewhere") or {}
    if not elsewhere:
        return []
    sets = {**elsewhere["files"], TOGETHER: elsewhere["together"]}
    return [_set_row(name, found, manifest.gate.metric) for name, found in sets.items()]


def group_rows(manifest: Manifest) -> Iterator[GroupRow]:
    """Every group of the dev data, partition by partition."""
    before = ""
    for row in _analysis(manifest).get("groups", ()):
        yield GroupRow(
            by="" if row["by"] == before else PARTITIONS.get(row["by"], row["by"]),
            name=row["name"],
            examples=row["examples"],
            int8=f"{row['int8']:.2f}",
            fp32=f"{row['fp32']:.2f}",
            difference=signed(row["int8"] - row["fp32"]),
        )
        before = row["by"]


def group_metric(manifest: Manifest) -> str:
    """What the groups are compared by."""
    return metric_name(_analysis(manifest).get("metric", ""))


def confident_errors(manifest: Manifest) -> list[Mapping[str, Any]]:
    """As the card has them."""
    found: list[Mapping[str, Any]] = _analysis(manifest).get("errors", [])
    return found


def _analysis(manifest: Manifest) -> dict[str, Any]:
    found: Any = manifest.card.measured.get("error_analysis") or {}
    return dict(found)


def _set_row(name: str, found: Mapping[str, Any], metric: str) -> SetRow:
    ours, theirs = found["int8"], found["fp32"]
    return SetRow(
        name=name,
        examples=ours["examples"],
        int8=sure(ours, metric),
        fp32=sure(theirs, metric),
        difference=sure_difference(ours["against"], metric),
        agreement=_agreement(ours["against"]),
    )


def _agreement(against: Mapping[str, Any]) -> str:
    share = against.get("agreement")
    return "" if share is None else f"{share:.2f} %"
