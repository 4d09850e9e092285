"""docs/service.md says what there is: every setting, every metric, every code of the error table."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from intbert.config import Settings, variables
from intbert.telemetry.metrics import Metrics

DOCUMENT = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def test_every_setting_is_documented_and_none_besides() -> None:
    """A variable that the page names and the program refuses is worse than none."""
    assert set(re.findall(r"INTBERT_[A-Z_]*[A-Z]", DOCUMENT)) == set(variables())


def test_defaults_are_those_of_the_program() -> None:
    """Numbers in the table, as the program has them."""
    fields = Settings.model_fields
    for name in ("queue_tokens", "batch_tokens", "max_requests", "request_timeout_s", "drain_notice_s", "keep_alive_s"):
        default = f"{fields[name].default:g}"
        assert re.search(rf"\| `INTBERT_{name.upper()}` \| {re.escape(default)} \|", DOCUMENT), name


def test_every_metric_is_documented_and_none_besides() -> None:
    """Dashboards are written from this page."""
    registry = CollectorRegistry()
    Metrics(registry)
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in registry.collect()
        if not family.name.startswith("intbert_process_")
    }
    named = set(re.findall(r"`(intbert_[a-z_]*[a-z])`", DOCUMENT))
    assert named == exposed
