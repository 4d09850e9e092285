"""Image, compose file and provisioning: what can be checked without a container engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.dashboard import SOURCE

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def compose() -> dict[str, Any]:
    """The compose file as compose itself understands it; misspelt keys are errors."""
    command = [BIN / "docker-compose", "--project-directory", ROOT, "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_dockerfile_is_clean() -> None:
    """hadolint has nothing to say."""
    done = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_image_is_unprivileged_and_gets_its_signals() -> None:
    """Last stage: a user, a health check on readiness, and an exec-form command, so that SIGTERM reaches the server."""
    stage = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", maxsplit=1)[1]
    assert re.search(r"^USER [1-9]\d*$", stage, flags=re.MULTILINE)
    assert "/readyz" in stage[stage.index("HEALTHCHECK") :]
    assert re.search(r'^CMD \["intbert", "serve"\]$', stage, flags=re.MULTILINE)
    assert "pip install" not in stage


def test_no_port_leaves_the_machine() -> None:
    """Every published port is on loopback."""
    ports = [port for service in compose()["services"].values() for port in service["ports"]]
    assert len(ports) == 3
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_the_service_runs_with_least_privilege() -> None:
    """Read-only root, no capabilities, no new privileges, and time to drain before it is killed."""
    service = compose()["services"]["intbert"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["stop_grace_period"] == "30s"


def test_images_of_others_are_pinned() -> None:
    """No `latest` of somebody else: a new version is a change that somebody sees."""
    images = [service["image"] for name, service in compose()["services"].items() if name != "intbert"]
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images)


def test_grafana_finds_datasource_and_dashboard() -> None:
    """The provisioned source has the dashboard's name, and files lie where the provider and the home page look."""
    folder = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert [source["uid"] for source in sources] == [SOURCE.uid]
    provider = yaml.safe_load((folder / "dashboards/intbert.yml").read_text())["providers"][0]
    grafana = compose()["services"]["grafana"]
    mounted = {volume["target"]: Path(volume["source"]) for volume in grafana["volumes"]}
    dashboards = mounted[provider["options"]["path"]]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (dashboards / home.name).is_file()
