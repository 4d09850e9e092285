"""Result files of a run: one JSON document and one HTML page that stands alone."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment

from loadtest import plots
from loadtest.plan import EndpointResult, Plan, plan_document

TEMPLATE = Path(__file__).parent / "report.html.jinja"


def run_document(results: Sequence[EndpointResult], plan: Plan, *, server: Mapping[str, Any]) -> dict[str, Any]:
    """Everything measured, with what is needed to judge it. `server`: what /models said."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_name(), "cores": cpu_cores(), "system": platform.platform()},
        "plan": plan_document(plan),
        "server": dict(server),
        "endpoints": [result.document() for result in results],
    }


def write_report(folder: Path, document: Mapping[str, Any], results: Sequence[EndpointResult]) -> tuple[Path, Path]:
    """Write `loadtest.json` and `loadtest.html` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    json_path, html_path = folder / "loadtest.json", folder / "loadtest.html"
    json_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    html_path.write_text(render_html(document, results), encoding="utf-8")
    return json_path, html_path


def render_html(document: Mapping[str, Any], results: Sequence[EndpointResult]) -> str:
    """The page. Values are escaped; the plots are our own SVG."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    figures = {
        result.endpoint: [
            plots.latency_over_rate(result),
            plots.goodput_over_rate(result),
            plots.latency_distribution(result),
        ]
        for result in results
    }
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(document=document, figures=figures)


def cpu_name() -> str:
    """The processor's model name, or the architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def cpu_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
