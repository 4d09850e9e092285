"""POST /compare: both tasks by several variants, side by side."""

from typing import Any

import httpx
import pytest

from intbert.api.wire_compare import CompareResponse
from tests.api.conftest import RunningServer
from tests.api.test_classify import check_problem

TEXTS = {"task": "text-classification", "inputs": ["good film", "bad plot"]}
QUESTION = {"task": "question-answering", "question": "film ?", "context": "the film is good and the plot is bad " * 12}


def compared(client: httpx.Client, body: Any) -> dict[str, Any]:
    """The answer, which is of the documented shape."""
    response = client.post("/compare", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert CompareResponse.model_validate(answer).model_dump() == answer
    return answer


@pytest.mark.parametrize(("body", "path"), [(TEXTS, "/classify"), (QUESTION, "/qa")])
def test_each_variant_answers_as_it_does_alone(client: httpx.Client, body: dict[str, Any], path: str) -> None:
    """Results, usage and digests of every variant are those of its own route; the default variant comes first."""
    answer = compared(client, body)
    assert [run["variant"] for run in answer["variants"]] == ["int8", "fp32"]
    for run in answer["variants"]:
        parameters = {"variant": run["variant"], "return_digest": run["integer_only"]}
        alone = client.post(path, json={k: v for k, v in body.items() if k != "task"} | {"parameters": parameters})
        assert run["results"] == alone.json()["results"]
        assert run["digests"] == alone.json().get("digests")
        assert answer["usage"] == alone.json()["usage"]
        assert answer["model"] | {"variant": run["variant"]} == alone.json()["model"]
        assert run["memory"]["weights_bytes"] > 0
        assert run["timings"]["compute_ms"] > 0
    assert answer["variants"][0]["engine"].startswith("native:")
    assert answer["variants"][1]["digests"] is None


@pytest.mark.parametrize("body", [TEXTS, QUESTION])
def test_agreement_is_that_of_the_results(client: httpx.Client, body: dict[str, Any]) -> None:
    """Counted over inputs, against the first variant; a variant agrees with itself."""
    answer = compared(client, body | {"variants": ["fp32", "int8"]})
    (found,) = answer["agreement"]
    assert (found["variant"], found["compared_with"]) == ("int8", "fp32")
    fp32, int8 = (run["results"] for run in answer["variants"])
    same = [_decision(a) == _decision(b) for a, b in zip(fp32, int8, strict=True)]
    assert [item["agrees"] for item in found["per_input"]] == same
    assert (found["inputs"], found["agreeing"], found["share"]) == (len(same), sum(same), sum(same) / len(same))
    assert found["logit_abs_diff_max"] == max(item["logit_abs_diff"] for item in found["per_input"]) > 0
    assert compared(client, body | {"variants": ["int8"]})["agreement"] == []


def _decision(ranked: list[dict[str, Any]]) -> object:
    return ranked[0].get("label") or (ranked[0]["start"], ranked[0]["end"])


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [
        ({"inputs": "a"}, 422, "invalid_request", "text-classification"),
        ({"task": "translation", "inputs": "a"}, 422, "invalid_request", "question-answering"),
        (TEXTS | {"variants": []}, 422, "invalid_request", "variants"),
        (TEXTS | {"variants": ["int8", "int8"]}, 422, "invalid_request", "differ"),
        (TEXTS | {"parameters": {"variant": "int8"}}, 422, "invalid_request", "variants"),
        (TEXTS | {"variants": ["int8", "int4"]}, 404, "variant_not_found", "int4"),
        (TEXTS | {"parameters": {"model": "tiny-qa"}}, 422, "wrong_task", "tiny-qa"),
        (TEXTS | {"inputs": ["good", ""]}, 422, "empty_text", "inputs[1]"),
        (TEXTS | {"inputs": ["a"] * 17}, 413, "too_many", "16"),
        ({"task": "question-answering", "inputs": "a"}, 422, "invalid_request", "inputs"),
    ],
)
def test_refusals_have_codes(client: httpx.Client, body: Any, status: int, code: str, text: str) -> None:
    """As at the tasks' own routes, and nothing is computed for a variant that does not exist."""
    problem = check_problem(client.post("/compare", json=body), status, code)
    assert text in problem["detail"]


def test_one_comparison_is_one_request(server: RunningServer, client: httpx.Client) -> None:
    """Counted without a variant; each variant's stages are observed once."""
    compared(client, TEXTS)
    before = server.series()
    compared(client, TEXTS)
    after = server.series()

    def change(name: str, **labels: str) -> float:
        key = (f"intbert_{name}", tuple(sorted(labels.items())))
        return after[key] - before[key]

    counted = {"endpoint": "/compare", "model": "tiny", "version": "2", "variant": "", "code": "200"}
    assert change("requests_total", **counted) == 1
    for variant in ("int8", "fp32"):
        assert change("compute_duration_seconds_count", model="tiny", variant=variant) == 1
        assert change("request_tokens_sum", model="tiny", variant=variant) == 8


def test_openapi_examples_are_true(client: httpx.Client) -> None:
    """Every example is answered; the document has the shapes of both tasks."""
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/compare"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert {example["value"]["task"] for example in examples.values()} == {TEXTS["task"], QUESTION["task"]}
    for example in examples.values():
        compared(client, example["value"])
    for name in ("CompareRequest", "CompareResponse"):
        assert len(document["components"]["schemas"][name]["oneOf"]) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (TEXTS | {"variants": ["int8", "int2"]}, 404),
        (TEXTS | {"inputs": ""}, 422),
        (QUESTION | {"parameters": {"truncation": "error"}}, 422),
    ],
)
def test_a_failure_counts_at_its_model(server: RunningServer, body: dict[str, Any], code: int) -> None:
    """Without a variant, as an answered comparison does."""
    model, version = ("tiny", "2") if body["task"] == "text-classification" else ("tiny-qa", "1")
    labels = {"endpoint": "/compare", "model": model, "version": version, "variant": "", "code": str(code)}
    key = ("intbert_requests_total", tuple(sorted(labels.items())))
    before = server.series()[key]
    with server.client() as client:
        assert client.post("/compare", json=body).status_code == code
    assert server.series()[key] == before + 1
