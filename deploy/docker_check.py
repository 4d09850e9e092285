"""`python -m deploy.docker_check`: image and compose stack with a real container engine, as users run them."""

import asyncio
import contextlib
import itertools
import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from deploy.base_images import ensure_image
from deploy.dashboard import expressions
from deploy.engine import CheckError, Engine, container_engine
from loadtest.generator import Call, Client, send_on_schedule, send_without_pause
from loadtest.outcome import Outcome, reason
from loadtest.server import describe, endpoints_of
from loadtest.texts import classify_calls, qa_calls

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "http://127.0.0.1:8000"
PROMETHEUS = "http://127.0.0.1:9090"
IMAGE = "intbert:latest"
VARIANTS = ("int8", "fp32")
OFF_BY_DEFAULT = ("intbert_shadow_", "intbert_cache_")
PROBE = (
    "import os, shutil, importlib.util as u;"
    "assert os.getuid() == 10001, os.getuid();"
    "found = [n for n in ('torch', 'transformers', 'pip') if u.find_spec(n)]"
    " + [n for n in ('cc', 'gcc', 'g++', 'cmake') if shutil.which(n)];"
    "assert not found, found"
)


def main() -> None:
    """Run every check in order; the first that fails ends the run with its reason."""
    try:
        with container_engine() as engine:
            check_images(engine)
            check_configuration(engine)
            with compose_up(engine):
                check_endpoints()
                check_monitoring()
                check_stop(engine)
    except CheckError as error:
        raise SystemExit(f"docker-check: {error}") from None
    print("docker-check: everything holds")


def check_images(engine: Engine) -> None:
    """The Dockerfile builds; its image has an unprivileged user and neither compiler nor training libraries."""
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[0]
    monitoring = re.findall(r"image: (prom/\S+)", (ROOT / "docker-compose.yml").read_text())[0]
    for name in (base, monitoring):
        print(f"{name}: {ensure_image(engine, name)}")
    started_s = time.monotonic()
    engine.run("build", "--network", "host", "--tag", IMAGE, str(ROOT))
    size, base_size = (image_megabytes(engine, name) for name in (IMAGE, base))
    print(f"{IMAGE}: built in {time.monotonic() - started_s:.0f} s, {size:.0f} MB, {size - base_size:.0f} above {base}")
    engine.run("run", "--rm", "--network", "none", "--read-only", IMAGE, "python", "-c", PROBE)
    print(f"{IMAGE}: user 10001, no compiler, no pip, no torch")


def image_megabytes(engine: Engine, name: str) -> float:
    """Unpacked size."""
    return int(engine.run("image", "inspect", "--format", "{{.Size}}", name)) / 1e6


def check_configuration(engine: Engine) -> None:
    """compose and Prometheus accept their files, and the alert rules pass their tests."""
    engine.run("compose", "--project-directory", str(ROOT), "config", "--quiet")
    monitoring = re.findall(r"image: (prom/\S+)", (ROOT / "docker-compose.yml").read_text())[0]
    volume = f"{ROOT / 'deploy/prometheus'}:/etc/prometheus:ro"
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")):
        *words, name = arguments
        tool = ["--entrypoint", "/bin/promtool", monitoring, *words, f"/etc/prometheus/{name}"]
        engine.run("run", "--rm", "--network", "none", "--volume", volume, *tool)
    print("compose file, Prometheus configuration and alert rules are accepted, alert tests pass")


@contextlib.contextmanager
def compose_up(engine: Engine) -> Iterator[None]:
    """Service and Prometheus, healthy; removed with their volumes at the end."""
    compose = ["compose", "--project-directory", str(ROOT)]
    try:
        started_s = time.monotonic()
        engine.run(*compose, "up", "--detach", "--no-build", "intbert")
        wait_for(f"{SERVICE}/readyz", deadline_s=60)
        print(f"ready {time.monotonic() - started_s:.1f} s after `docker compose up`")
        engine.run(*compose, "up", "--detach", "--no-build", "--wait", "intbert", "prometheus", timeout_s=180)
        wait_for(f"{PROMETHEUS}/-/ready", deadline_s=60)
        print("docker compose: service healthy, Prometheus ready")
        yield
    except CheckError:
        print(engine.run(*compose, "logs", "--tail", "40"))
        raise
    finally:
        engine.run(*compose, "down", "--volumes", "--timeout", "10")


def wait_for(url: str, *, deadline_s: float) -> None:
    """Until `url` answers 200."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise CheckError(f"{url} did not answer 200 within {deadline_s} s")


def calls() -> list[Call]:
    """Requests to every endpoint that the models of the store have, both variants in turn."""
    makers = {"/classify": classify_calls, "/qa": qa_calls}
    endpoints = endpoints_of(describe(SERVICE), VARIANTS)
    parts = [makers[path](None, variant=variant, root=ROOT, seed=1) for path in endpoints for variant in VARIANTS]
    return [call for group in zip(*parts, strict=False) for call in group]


def check_endpoints() -> None:
    """Every endpoint answers on every variant."""
    seen = set()
    for call in calls()[:4]:
        response = httpx.post(SERVICE + call.path, json=call.body, timeout=30, trust_env=False)
        if response.status_code != 200:
            raise CheckError(f"{call.path} {call.body['parameters']} answered {response.status_code}: {response.text}")
        seen.add((call.path, response.json()["model"]["variant"]))
    print(f"answered: {sorted(seen)}")


def check_monitoring() -> None:
    """Prometheus sees the service, and under load every expression of the dashboard has an answer."""
    outcomes = asyncio.run(_load(duration_s=25))
    demand_success(outcomes)
    if not any(series["value"][1] == "1" for series in query('up{job="intbert"}')):
        raise CheckError("Prometheus does not reach the service: up is not 1")
    empty = [expression for expression in expressions() if not has_answer(expression)]
    if empty:
        raise CheckError("dashboard expressions without a value under load:\n" + "\n".join(empty))
    print(f"up == 1; all {len(expressions())} dashboard expressions have values under load ({len(outcomes)} requests)")


async def _load(*, duration_s: float) -> list[Outcome]:
    async with Client(SERVICE, timeout_s=30, connections=8) as client:
        return await send_without_pause(client, calls(), duration_s=duration_s, users=3)


def has_answer(expression: str) -> bool:
    """Numbers; series that need not have any yet are enough for what is off by default."""
    vector = query(expression)
    return bool(vector) if any(name in expression for name in OFF_BY_DEFAULT) else bool(numbers(vector))


def query(expression: str) -> list[Any]:
    """The instant vector of an expression."""
    parameters = {"query": expression}
    answer = httpx.get(f"{PROMETHEUS}/api/v1/query", params=parameters, timeout=10, trust_env=False)
    return list(answer.raise_for_status().json()["data"]["result"])


def numbers(vector: Sequence[Any]) -> list[float]:
    """Values of an instant vector that are numbers."""
    values = [float(series["value"][1]) for series in vector]
    return [value for value in values if not math.isnan(value)]


def demand_success(outcomes: Sequence[Outcome]) -> None:
    """Every request was answered with 200."""
    failed = [reason(outcome) for outcome in outcomes if outcome.status != 200]
    if failed or not outcomes:
        raise CheckError(f"{len(failed)} of {len(outcomes)} requests failed: {sorted(set(failed))}")


def check_stop(engine: Engine) -> None:
    """`docker stop` under load: clients that stop sending when readiness ends lose no request; the exit code is 0."""
    name = engine.run("compose", "--project-directory", str(ROOT), "ps", "--quiet", "intbert").strip()
    outcomes, stop_s = asyncio.run(_stop_under_load(engine, name))
    demand_success(outcomes)
    state = json.loads(engine.run("inspect", "--format", "{{json .State}}", name))
    if state["ExitCode"] != 0:
        raise CheckError(f"the service ended with {state['ExitCode']} after docker stop")
    print(f"docker stop under load: {len(outcomes)} requests, none failed; stopped in {stop_s:.1f} s, exit code 0")


async def _stop_under_load(engine: Engine, name: str) -> tuple[list[Outcome], float]:
    """Four users always have a request under way; they stop, as a balancer does, when it is not ready."""
    async with (
        Client(SERVICE, timeout_s=30, connections=8) as client,
        httpx.AsyncClient(base_url=SERVICE, timeout=30, trust_env=False) as probes,
    ):
        ended = asyncio.Event()
        users = [asyncio.create_task(_user(client, requests, ended)) for requests in itertools.repeat(calls(), 4)]
        await asyncio.sleep(2)
        started_s = time.monotonic()
        stop = asyncio.create_task(asyncio.to_thread(engine.run, "stop", "--time", "30", name))
        while await _ready(probes):
            await asyncio.sleep(0.02)
        ended.set()
        outcomes = [outcome for part in await asyncio.gather(*users) for outcome in part]
        await stop
    return outcomes, time.monotonic() - started_s


async def _user(client: Client, requests: Sequence[Call], ended: asyncio.Event) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for call in itertools.cycle(requests):
        if ended.is_set():
            break
        outcomes += await send_on_schedule(client, [call], [0.0], open_max=1)
    return outcomes


async def _ready(probes: httpx.AsyncClient) -> bool:
    try:
        return (await probes.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
