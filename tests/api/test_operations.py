"""The routes beside inference: models, reports, probes, the front door, the API's own description."""

from typing import Any

import httpx
import pytest

from tests.api.packages import REPORT
from tests.api.test_classify import check_problem


def test_front_door_says_what_this_is(client: httpx.Client) -> None:
    """Someone who opens the address finds the way, and every path that is named exists."""
    door = client.get("/").json()
    assert door["name"] == "intbert"
    for path in (door["models"], door["metrics"], door["openapi"], *door["health"]):
        assert client.get(path).status_code == 200, path
    for task in ("classify", "qa", "compare"):
        assert door[task] == f"POST /{task}"
        assert client.post(f"/{task}", json={}).status_code == 422


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/startupz", "/metrics", "/models", "/v2/health/live"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    """Some probes and link checkers ask so; the connection stays usable."""
    for _ in range(2):
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-type"] == client.get(path).headers["content-type"]
    assert client.head("/classify").status_code == 405
    assert client.head("/nowhere").status_code == 404


def test_a_slash_too_many_is_not_found(client: httpx.Client) -> None:
    """And not a redirection to wherever the client's Host header points."""
    for method, path in (("POST", "/classify/"), ("GET", "/models/")):
        response = client.request(method, path, headers={"host": "evil.example"})
        check_problem(response, 404, "route_not_found")
        assert "evil" not in str(response.headers) + response.text


def test_models_are_described(client: httpx.Client) -> None:
    """Task, labels, sizes, hashes, card, and the machine's kernel set."""
    body = client.get("/models").json()
    tasks = {(entry["name"], entry["version"]): entry["task"] for entry in body["models"]}
    assert tasks == {
        ("tiny", "1"): "text-classification",
        ("tiny", "2"): "text-classification",
        ("tiny-qa", "1"): "question-answering",
    }
    entry = next(entry for entry in body["models"] if (entry["name"], entry["version"]) == ("tiny", "2"))
    assert entry["labels"] == ["negative", "positive"]
    assert set(entry["variants"]) == {"int8", "fp32"}
    assert entry["variants"]["int8"]["integer_only"]
    assert entry["variants"]["int8"]["bytes"] > 0
    assert len(entry["variants"]["int8"]["sha256"]) == 64
    assert entry["card"]["metrics"]["int8"] == {"accuracy": 50.0}
    assert body["machine"]["kernels"]["active"] in body["machine"]["kernels"]["available"]
    assert body["machine"]["threads"]["workers"] >= 1


def test_one_model(client: httpx.Client) -> None:
    """All its versions; an unknown name lists the known ones."""
    body = client.get("/models/tiny").json()
    assert body["name"] == "tiny"
    assert "2" in [entry["version"] for entry in body["versions"]]
    problem = check_problem(client.get("/models/nope"), 404, "model_not_found")
    assert problem["known"] == ["tiny", "tiny-qa"]


def test_report_is_the_packages_own_page(client: httpx.Client) -> None:
    """Byte for byte, as HTML that can reach nothing else."""
    response = client.get("/models/tiny/report")
    assert response.content == REPORT
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert client.get("/models/tiny/report", params={"version": "1"}).status_code == 200
    assert client.get("/models/tiny/report", params={"version": ""}).status_code == 422
    check_problem(client.get("/models/nope/report"), 404, "model_not_found")
    check_problem(client.get("/models/tiny/report", params={"version": "7"}), 404, "version_not_found")


def test_paths_stay_inside_the_store(client: httpx.Client) -> None:
    """No name and no version leads out of it."""
    for path in ("/models/..%2f..%2fetc/report", "/models/%2e%2e/report", "/models/tiny/report?version=../../x"):
        assert client.get(path).status_code == 404, path


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_probes_of_a_healthy_server(client: httpx.Client, path: str) -> None:
    """200, quickly and without detail."""
    assert client.get(path).status_code == 200


def test_metrics_are_prometheus_text(client: httpx.Client) -> None:
    """In the content type that scrapers expect."""
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.text.endswith("\n")


def test_openapi_refers_only_to_what_it_holds(client: httpx.Client) -> None:
    """Every $ref of the document has its target: generators of clients stop at the first that has not."""
    document = client.get("/openapi.json").json()
    for reference in _references(document):
        start, _, kind, name = reference.split("/")
        assert start == "#"
        assert name in document["components"][kind], reference
    for path in ("/classify", "/qa"):
        statuses = set(document["paths"][path]["post"]["responses"])
        assert statuses == {"200", "400", "401", "404", "408", "413", "415", "422", "429", "500", "503", "504"}


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/", {"200"}),
        ("get", "/livez", {"200", "503"}),
        ("get", "/metrics", {"200"}),
        ("get", "/models", {"200", "401", "500", "503"}),
        ("get", "/models/{name}", {"200", "401", "404", "500", "503"}),
        ("get", "/models/{name}/report", {"200", "401", "404", "422", "500", "503"}),
        ("post", "/models/{name}/versions/{version}/activate", {"200", "401", "403", "404", "409", "500", "503"}),
        ("get", "/v2", {"200", "401"}),
        ("get", "/v2/models/{name}", {"200", "401", "404", "500", "503"}),
    ],
)
def test_openapi_names_the_statuses_that_occur(
    client: httpx.Client, method: str, path: str, statuses: set[str]
) -> None:
    """And no others; every error has the shape that it has on the wire."""
    responses = client.get("/openapi.json").json()["paths"][path][method]["responses"]
    assert set(responses) == statuses
    for status in statuses - {"200"}:
        (content,) = responses[status]["content"].values()
        assert content["schema"]["$ref"].endswith("PlainError" if path.startswith("/v2") else "Problem"), status


def test_openapi_names_the_headers_that_are_sent(client: httpx.Client) -> None:
    """On the wire every answer has exactly those of ours that its status documents."""
    document = client.get("/openapi.json").json()
    ours = set(document["components"]["headers"])
    assert ours == {"X-Request-Id", "Server-Timing", "Retry-After", "WWW-Authenticate"}
    comparison = {"task": "text-classification", "inputs": "good"}
    bodies: dict[str, Any] = {"/classify": {"inputs": "good"}, "/predict": {"inputs": "good"}, "/compare": comparison}
    answers = [(path, client.post(path, json=body)) for path, body in bodies.items()]
    answers += [(path, client.post(path, json={})) for path in bodies]
    answers += [(path, client.get(path)) for path in ("/", "/models", "/metrics", "/v2")]
    for path, response in answers:
        operation = document["paths"][path][response.request.method.lower()]
        documented = set(operation["responses"][str(response.status_code)]["headers"])
        assert {name for name in ours if name in response.headers} == documented, path


@pytest.mark.parametrize(("path", "answer", "count"), [("/classify", "ClassifyResponse", 3), ("/qa", "QaResponse", 2)])
def test_openapi_examples_are_true(client: httpx.Client, path: str, answer: str, count: int) -> None:
    """Every example is answered, and the answer has the documented fields."""
    document = client.get("/openapi.json").json()
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    examples = [example["value"] for example in body["examples"].values()]
    assert len(examples) == count
    documented = set(document["components"]["schemas"][answer]["properties"])
    for example in examples:
        response = client.post(path, json=example)
        assert response.status_code == 200, response.text
        assert set(response.json()) <= documented


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for child in node.values() for found in _references(child)]
    if isinstance(node, list):
        return [found for child in node for found in _references(child)]
    return []
