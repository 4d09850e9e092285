"""Dashboard and alerts ask for series that the service really has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from deploy.dashboard import TARGET, expressions, render
from intbert.telemetry.metrics import Metrics, Target

ROOT = Path(__file__).resolve().parents[2]
OWN_OF_PROMETHEUS = {"up": {"job", "instance"}}
SCRAPED = {"job", "instance"}


def alert_expressions() -> list[str]:
    """Every expression of the alert rules."""
    document = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def series() -> dict[str, dict[str, set[str]]]:
    """Name -> label -> values, of all series that exist as soon as the store has been read."""
    metrics = Metrics(CollectorRegistry())
    for variant in ("int8", "fp32"):
        metrics.declare_variant(Target(model="m", version="1", variant=variant))
    found: dict[str, dict[str, set[str]]] = {name: {} for name in OWN_OF_PROMETHEUS}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def selectors(node: Any) -> Iterator[Any]:
    """All vector selectors below a node of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("vector_selector", "expr", "lhs", "rhs", "param"):
        if (child := getattr(node, name, None)) is not None and not isinstance(child, str):
            yield from selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from selectors(child)


@pytest.mark.parametrize("expression", [*expressions(), *alert_expressions()])
def test_every_expression_has_its_series(expression: str, series: dict[str, dict[str, set[str]]]) -> None:
    """Each expression parses; each metric exists before any request; each label and value that it selects exists."""
    found = list(selectors(promql_parser.parse(expression)))
    assert len(found) == len(re.findall(r"\b(?:intbert_\w+|up)\b", expression))
    for selector in found:
        labels = series[selector.name]
        for matcher in selector.matchers.matchers:
            if matcher.name in SCRAPED:
                continue
            assert matcher.name in labels
            if matcher.op == promql_parser.MatchOp.Equal:
                assert matcher.value in labels[matcher.name]
            if matcher.op == promql_parser.MatchOp.Re:
                assert set(matcher.value.split("|")) <= labels[matcher.name]


@pytest.mark.parametrize("expression", [*expressions(), *alert_expressions()])
def test_every_grouping_label_exists(expression: str, series: dict[str, dict[str, set[str]]]) -> None:
    """A `by` label is one that its series carry; otherwise variants would silently be added up."""
    for labels_text, metric in re.findall(r"by \(([^)]*)\) \(rate\((\w+)", expression):
        assert {label.strip() for label in labels_text.split(",")} <= set(series[metric])


def test_the_committed_dashboard_is_the_generated_one() -> None:
    """Nobody edits the JSON by hand: `python -m deploy.dashboard` writes it."""
    assert TARGET.read_text(encoding="utf-8") == render()
