"""The routes beside inference: models, probes, metrics, the front door."""

from typing import Any

from pydantic_core import to_json
from starlette.responses import FileResponse, Response

from intbert.errors import NotFoundError, UnavailableError
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A report is a page of its own: it may style and script itself, and reach nothing else.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def front_door(version: str) -> Response:
    """What this server is and where to go on."""
    return _json(
        {
            "name": "intbert",
            "version": version,
            "description": "Integer-only int8 inference for BERT-family models, beside the FP32 original",
            "classify": "POST /classify",
            "qa": "POST /qa",
            "compare": "POST /compare",
            "models": "/models",
            "metrics": "/metrics",
            "health": ["/livez", "/readyz", "/startupz"],
            "openapi": "/openapi.json",
        }
    )


def list_models(service: InferenceService) -> Response:
    """Every model and version, and the machine that serves them."""
    return _json({"models": service.models(), "machine": service.machine()})


def show_model(service: InferenceService, name: str) -> Response:
    """All versions of one model. Raises NotFoundError."""
    models = service.models()
    versions = [entry for entry in models if entry["name"] == name]
    if not versions:
        raise NotFoundError.of("model", name, sorted({str(entry["name"]) for entry in models}))
    return _json({"name": name, "versions": versions, "machine": service.machine()})


def show_report(service: InferenceService, name: str, version: str | None) -> Response:
    """The package's own report. Raises NotFoundError."""
    headers = {"content-security-policy": REPORT_POLICY, "x-content-type-options": "nosniff"}
    return FileResponse(service.report_path(name, version), media_type="text/html", headers=headers)


def livez(service: InferenceService) -> Response:
    """200 unless the workers stopped making progress: only then would a restart help."""
    status = service.status()
    if status.code == "stalled":
        raise UnavailableError(status.reason or "the workers make no progress", code="stalled")
    return _json({"status": "alive"})


def readyz(service: InferenceService) -> Response:
    """200 when requests are welcome, else 503 with the reason."""
    status = service.status()
    if not status.ready:
        raise UnavailableError(
            status.reason or f"the service is {status.state}",
            code=status.code or "not_ready",
            details={"state": status.state},
        )
    return _json({"status": "ready"})


def startupz(service: InferenceService) -> Response:
    """200 once the models were loaded."""
    status = service.status()
    if status.state == "starting" or (status.state == "failed" and status.code != "stalled"):
        return readyz(service)
    return _json({"status": "started"})


def render_metrics(metrics: Metrics) -> Response:
    """The text format of Prometheus."""
    return Response(metrics.render(), headers={"content-type": METRICS_TYPE})


def _json(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
