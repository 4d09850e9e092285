"""The Open Inference Protocol v2 on the wire."""

import json
from typing import Any

import httpx
import pytest

from tests.api.test_adapters import check_shape, post
from tests.api.test_classify import TEXTS, classify

INFER = "/v2/models/tiny/infer"


def tensor(name: str, *texts: str, **changes: Any) -> dict[str, Any]:
    """One input."""
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | changes


def outputs(answer: dict[str, Any]) -> dict[str, Any]:
    """Data by the name of the output; fails when a shape does not fit its data."""
    for output in answer["outputs"]:
        size = 1
        for dimension in output["shape"]:
            size *= dimension
        assert size == len(output["data"]), output
    return {output["name"]: output["data"] for output in answer["outputs"]}


def test_labels_of_a_batch(client: httpx.Client) -> None:
    """The answers of /classify as tensors, with the id of the request and who answered."""
    ours = classify(client, TEXTS)
    answer = post(client, INFER, {"id": "42", "inputs": [tensor("text", *TEXTS)]})
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tiny", "2", "42")
    assert answer["parameters"] == {
        "variant": "int8",
        "sha256": ours["model"]["sha256"],
        "tokens": sum(usage["tokens"] for usage in ours["usage"]),
        "truncated_inputs": 0,
    }
    ranked = [item for result in ours["results"] for item in result]
    assert outputs(answer) == {
        "label": [result[0]["label"] for result in ours["results"]],
        "score": [result[0]["score"] for result in ours["results"]],
        "labels": [item["label"] for item in ranked],
        "scores": [item["score"] for item in ranked],
    }


def test_outputs_are_chosen_and_data_may_be_nested(client: httpx.Client) -> None:
    """In the order asked for; [N, 1] is what servers with a batch dimension are sent."""
    nested = tensor("text", shape=[2, 1], data=[["good film"], ["bad plot"]])
    body = {"inputs": [nested], "outputs": [{"name": "score"}, {"name": "label"}]}
    answer = post(client, INFER, body)
    assert [output["name"] for output in answer["outputs"]] == ["score", "label"]
    flat = post(client, INFER, {"inputs": [tensor("text", "good film", "bad plot")]})
    assert outputs(answer)["score"] == outputs(flat)["score"]
    assert "id" not in flat


def test_pairs_are_two_inputs(client: httpx.Client) -> None:
    """One text_pair for each text."""
    (ours,) = classify(client, {"text": "good film", "text_pair": "bad plot"})["results"]
    answer = post(client, INFER, {"inputs": [tensor("text", "good film"), tensor("text_pair", "bad plot")]})
    assert outputs(answer)["score"] == [ours[0]["score"]]


def test_version_and_parameters(client: httpx.Client) -> None:
    """The version stands in the address, the rest in parameters; what was cut is said."""
    long = "good film " * 60
    asked = {"variant": "fp32", "function_to_apply": "none", "truncation": "truncate", "timeout_ms": 60000}
    ours = classify(client, [long, "bad"], version="1", model="tiny", **asked)["results"]
    body = {"parameters": asked, "inputs": [tensor("text", long, "bad")]}
    answer = post(client, "/v2/models/tiny/versions/1/infer", body)
    assert outputs(answer)["score"] == [result[0]["score"] for result in ours]
    assert answer["parameters"]["truncated_inputs"] == 1
    assert (answer["model_version"], answer["parameters"]["variant"]) == ("1", "fp32")


def test_spans(client: httpx.Client) -> None:
    """Question and context in, the best answer with its offsets out."""
    question = {"question": "what was good", "context": "the film was very good"}
    (ours,) = post(client, "/qa", question)["results"][0]
    inputs = [tensor(name, text) for name, text in question.items()]
    answer = post(client, "/v2/models/tiny-qa/infer", {"inputs": inputs})
    assert outputs(answer) == {name: [ours[name]] for name in ("answer", "score", "start", "end")}


def test_metadata_names_what_infer_takes_and_gives(client: httpx.Client) -> None:
    """A client can be written from it."""
    assert client.get("/v2").json() | {"version": ""} == {"name": "intbert", "version": "", "extensions": []}
    for model, versions in (("tiny", ["1", "2"]), ("tiny-qa", ["1"])):
        described = client.get(f"/v2/models/{model}").json()
        assert described["versions"] == versions
        inputs = [tensor(entry["name"], "good film", datatype=entry["datatype"]) for entry in described["inputs"]]
        answer = post(client, f"/v2/models/{model}/infer", {"inputs": inputs})
        given = [(output["name"], output["datatype"], output["shape"][1:]) for output in answer["outputs"]]
        assert given == [(entry["name"], entry["datatype"], entry["shape"][1:]) for entry in described["outputs"]]
    assert client.get("/v2/models/tiny/versions/1").json()["versions"] == ["1"]


def test_health(client: httpx.Client) -> None:
    """Server and model; what there is not is not ready."""
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    for path in ("/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert client.get(path).json() == {"name": "tiny", "ready": True}
    for path in ("/v2/models/nope", "/v2/models/nope/ready", "/v2/models/tiny/versions/9/ready"):
        check_shape(path, client.get(path), 404)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"inputs": [tensor("text", "a", shape=[2])]}, "shape"),
        ({"inputs": [tensor("text", "a", shape=[1, 1, 1])]}, "shape"),
        ({"inputs": [tensor("text", "a", "b", shape=[1, 2])]}, "shape"),
        ({"inputs": [tensor("text", "a", datatype="FP32")]}, "datatype"),
        ({"inputs": [tensor("text", data=[1.0], shape=[1])]}, "data"),
        ({"inputs": [tensor("txt", "a")]}, "text, text_pair"),
        ({"inputs": [tensor("text", "a"), tensor("text", "b")]}, "at most once"),
        ({"inputs": [tensor("text_pair", "a")]}, "at least text"),
        ({"inputs": [tensor("text", "a", "b"), tensor("text_pair", "a")]}, "different numbers"),
        ({"inputs": [tensor("text", "a")], "outputs": [{"name": "logits"}]}, "label, score, labels, scores"),
        ({"inputs": [tensor("text", "a")], "parameters": {"truncation": "window"}}, "error or truncate"),
        ({"inputs": [tensor("text", "a")], "parameters": {"sequence_id": 1}}, "sequence_id"),
        ({"inputs": [tensor("text", parameters={"binary_data_size": 9}, shape=[1])]}, "binary tensor data extension"),
    ],
)
def test_refusals_say_what_is_wrong(client: httpx.Client, body: dict[str, Any], named: str) -> None:
    """422, in one sentence."""
    response = client.post(INFER, json=body)
    check_shape(INFER, response, 422)
    assert named in response.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "parameters", "named"),
    [
        ([tensor("question", "what")], {}, "context"),
        ([tensor("text", "what")], {}, "question, context"),
        ([tensor("question", "a"), tensor("context", "b")], {"function_to_apply": "none"}, "function_to_apply"),
        ([tensor("question", "a"), tensor("context", "b")], {"truncation": "truncate"}, "window or error"),
    ],
)
def test_refusals_of_span_models(client: httpx.Client, inputs: Any, parameters: Any, named: str) -> None:
    """What a classifier takes is not what a span model takes."""
    response = client.post("/v2/models/tiny-qa/infer", json={"inputs": inputs, "parameters": parameters})
    check_shape("/v2/", response, 422)
    assert named in response.json()["error"]


def test_binary_tensors_are_refused_by_name(client: httpx.Client) -> None:
    """Triton's client sends them unless told otherwise: the error says how to tell it."""
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": "2"}
    response = client.post(INFER, content=b"{}\x01\x00\x00\x00a", headers=headers)
    check_shape(INFER, response, 415)
    assert "binary_data=False" in response.json()["error"]


def test_a_body_that_is_declared_as_nothing_is_json(client: httpx.Client) -> None:
    """Triton's client declares nothing; a web page of another site could do the same, and is refused."""
    content = json.dumps({"inputs": [tensor("text", "good film")]})
    assert client.post(INFER, content=content).status_code == 200
    check_shape(INFER, client.post(INFER, content=content, headers={"origin": "https://example.org"}), 415)
    check_shape(INFER, client.post(INFER, content=content, headers={"content-type": "text/plain"}), 415)
