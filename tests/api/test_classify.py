"""POST /classify on the wire: shapes, parameters, every documented error."""

import math
from typing import Any

import httpx
import pytest

from tests.api.packages import POSITIONS, reference_digest

TEXTS = ["the film was very good", "bad plot", "two hours I will not get back", "a gripping, beautifully acted film"]


def classify(client: httpx.Client, inputs: Any, **parameters: Any) -> dict[str, Any]:
    """The answer; fails on anything but 200."""
    response = client.post("/classify", json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refuse(client: httpx.Client, body: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, its members checked."""
    response = client.post("/classify", json=body)
    return check_problem(response, status, code)


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """RFC 9457, on the wire as in the document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == "about:blank"
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def test_the_answer_has_exactly_the_documented_shape(client: httpx.Client) -> None:
    """One input or many alike: a list of results, usage per input, who answered; nothing else."""
    answer = classify(client, TEXTS[0])
    assert set(answer) == {"results", "usage", "model"}
    (result,) = answer["results"]
    assert [set(item) for item in result] == [{"label", "score"}] * 2
    assert {item["label"] for item in result} == {"negative", "positive"}
    assert result[0]["score"] >= result[1]["score"]
    assert math.isclose(sum(item["score"] for item in result), 1.0, abs_tol=2e-6)
    assert answer["usage"] == [{"tokens": 7, "windows": 1, "truncated": False, "tokens_dropped": 0}]
    assert set(answer["model"]) == {"name", "version", "variant", "sha256"}
    assert (answer["model"]["name"], answer["model"]["version"], answer["model"]["variant"]) == ("tiny", "2", "int8")
    assert len(answer["model"]["sha256"]) == 64


def test_two_strings_are_two_inputs_and_a_pair_is_one(client: httpx.Client) -> None:
    """The trap of other servers: a flat list is never a pair."""
    two = classify(client, ["good film", "bad plot"])
    pair = classify(client, {"text": "good film", "text_pair": "bad plot"})
    assert len(two["results"]) == 2
    assert len(pair["results"]) == 1
    assert [usage["tokens"] for usage in two["usage"]] == [4, 4]
    assert [usage["tokens"] for usage in pair["usage"]] == [7]


def test_results_come_in_the_order_sent(client: httpx.Client) -> None:
    """Batching may sort by length; the answer may not."""
    together = classify(client, TEXTS, return_digest=True)
    singles = [classify(client, text, return_digest=True) for text in TEXTS]
    assert together["digests"] == [single["digests"][0] for single in singles]
    assert together["results"] == [single["results"][0] for single in singles]


def test_digests_are_those_of_the_normative_arithmetic(client: httpx.Client) -> None:
    """What is served is what the specification computes, bit for bit."""
    answer = classify(client, TEXTS, return_digest=True)
    assert answer["digests"] == [reference_digest(2, text) for text in TEXTS]


def test_variant_and_version_are_chosen(client: httpx.Client) -> None:
    """The newest version and int8 by default; both may be named."""
    assert classify(client, "good", variant="fp32")["model"]["variant"] == "fp32"
    old = classify(client, TEXTS[0], version="1", model="tiny", return_digest=True)
    assert old["model"]["version"] == "1"
    assert old["digests"] == [reference_digest(1, TEXTS[0])]


def test_top_k_keeps_the_best(client: httpx.Client) -> None:
    """Fewer labels, the same order; more than there are is all."""
    every = classify(client, TEXTS[0])["results"][0]
    assert classify(client, TEXTS[0], top_k=1)["results"] == [every[:1]]
    assert classify(client, TEXTS[0], top_k=10)["results"] == [every]


def test_function_to_apply(client: httpx.Client) -> None:
    """Sigmoid judges each label by itself, none shows the logits; the order stays."""
    logits = classify(client, TEXTS[0], variant="fp32", function_to_apply="none")["results"][0]
    sigmoid = classify(client, TEXTS[0], variant="fp32", function_to_apply="sigmoid")["results"][0]
    assert [item["label"] for item in logits] == [item["label"] for item in sigmoid]
    for logit, score in zip(logits, sigmoid, strict=True):
        assert score["score"] == pytest.approx(1 / (1 + math.exp(-logit["score"])), abs=1e-5)


def test_truncation_is_said_and_counted(client: httpx.Client) -> None:
    """A long text is refused with limit and length, or cut on request, and the answer tells how much was lost."""
    text = "good film " * 60
    problem = refuse(client, {"inputs": text}, 422, "too_long")
    assert (problem["tokens"], problem["limit"], problem["field"]) == (122, POSITIONS, "inputs")
    assert '"parameters": {"truncation": "truncate"}' in problem["detail"]
    answer = classify(client, text, truncation="truncate")
    assert answer["usage"] == [{"tokens": POSITIONS, "windows": 1, "truncated": True, "tokens_dropped": 58}]


def test_text_that_spells_special_tokens_is_text(client: httpx.Client) -> None:
    """A client can't end the sequence from inside a text."""
    assert classify(client, "good [SEP] bad")["usage"][0]["tokens"] > 5


@pytest.mark.parametrize("text", ["é́ 漢字 👩‍👩‍👧 \u202e\u200b film", "\x00film", "\ufeff film", "ﬁlm" * 9])
def test_any_unicode_is_answered(client: httpx.Client, text: str) -> None:
    """Odd characters are no fault of the server."""
    assert classify(client, text)["results"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"inputs": 5}, 422, "invalid_request"),
        ({"inputs": [["a", "b"]]}, 422, "invalid_request"),
        ({"inputs": "a", "extra": 1}, 422, "invalid_request"),
        ({"inputs": "a", "parameters": {"extra": 1}}, 422, "invalid_request"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, 422, "invalid_request"),
        ({"inputs": "a", "parameters": {"truncation": "window"}}, 422, "invalid_request"),
        ({"inputs": "a", "parameters": {"function_to_apply": "relu"}}, 422, "invalid_request"),
        ({"inputs": ""}, 422, "empty_text"),
        ({"inputs": " \n\t"}, 422, "empty_text"),
        ({"inputs": ["a", ""]}, 422, "empty_text"),
        ({"inputs": {"text": "a", "text_pair": ""}}, 422, "empty_text"),
        ({"inputs": []}, 422, "empty_inputs"),
        ({"inputs": "a", "parameters": {"model": "nope"}}, 404, "model_not_found"),
        ({"inputs": "a", "parameters": {"version": "9"}}, 404, "version_not_found"),
        ({"inputs": "a", "parameters": {"version": "../1"}}, 404, "version_not_found"),
        ({"inputs": "a", "parameters": {"variant": "w4"}}, 404, "variant_not_found"),
        ({"inputs": "a", "parameters": {"variant": "fp32", "return_digest": True}}, 422, "digest_unavailable"),
        ({"inputs": ["a"] * 17}, 413, "too_many"),
        ({"inputs": "a" * 20001}, 413, "body_too_large"),
    ],
)
def test_every_refusal_has_its_status_and_code(client: httpx.Client, body: Any, status: int, code: str) -> None:
    """The documented status is the one on the wire, and the next request is answered as if nothing had been."""
    refuse(client, body, status, code)
    assert classify(client, "good")["results"]


def test_empty_text_is_named(client: httpx.Client) -> None:
    """In a list of many the client must know which."""
    problem = refuse(client, {"inputs": ["a", {"text": "b", "text_pair": " "}]}, 422, "empty_text")
    assert "inputs[1]" in problem["detail"]
    assert "text_pair" in problem["detail"]


def test_unknown_names_list_what_there_is(client: httpx.Client) -> None:
    """The message says what would have worked."""
    problem = refuse(client, {"inputs": "a", "parameters": {"variant": "w4"}}, 404, "variant_not_found")
    assert problem["known"] == ["fp32", "int8"]


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"inputs": "\\ud800"}', b'{"inputs": "\xff"}', b"[" * 9000])
def test_malformed_json_is_400(client: httpx.Client, body: bytes) -> None:
    """Not JSON, not Unicode, or nested without end: the client's fault, said so."""
    response = client.post("/classify", content=body, headers={"content-type": "application/json"})
    check_problem(response, 400, "malformed_json")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_other_media_types_are_415(client: httpx.Client, headers: dict[str, str]) -> None:
    """Also what a browser may send across sites without asking."""
    response = client.post("/classify", content=b'{"inputs": "a"}', headers=headers)
    code = "unsupported_encoding" if "content-encoding" in headers else "unsupported_media_type"
    check_problem(response, 415, code)


@pytest.mark.parametrize(
    "declared", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF8"]
)
def test_declared_utf8_json_is_accepted(client: httpx.Client, declared: str) -> None:
    """Media types are case-insensitive and may name UTF-8."""
    response = client.post("/classify", content=b'{"inputs": "a"}', headers={"content-type": declared})
    assert response.status_code == 200


def test_a_body_without_length_is_cut_off_at_the_limit(client: httpx.Client) -> None:
    """The limit holds while reading, not only for a declared length."""
    chunks = (b" " * 1000 for _ in range(100))
    response = client.post("/classify", content=chunks, headers={"content-type": "application/json"})
    problem = check_problem(response, 413, "body_too_large")
    assert problem["limit"] == 20000


def test_unknown_routes_and_methods_are_problems_too(client: httpx.Client) -> None:
    """Everything that goes wrong has the same shape."""
    check_problem(client.get("/nope"), 404, "route_not_found")
    response = client.get("/classify")
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def test_request_id_is_echoed_when_it_is_short_and_plain(client: httpx.Client) -> None:
    """Ids go into logs and headers: anything else is replaced by a new one."""
    body = {"inputs": "a"}
    for sent in ("abc-123", "0" * 128):
        assert client.post("/classify", json=body, headers={"x-request-id": sent}).headers["x-request-id"] == sent
    made = {
        client.post("/classify", json=body, headers={"x-request-id": sent}).headers["x-request-id"]
        for sent in ("", "two words", "0" * 129, "a;b", '"')
    }
    assert len(made) == 5
    assert all(len(identifier) == 32 for identifier in made)


def test_server_timing_names_the_stages(client: httpx.Client) -> None:
    """Fractional milliseconds of all four stages, on every answer."""
    response = client.post("/classify", json={"inputs": TEXTS})
    stages = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert list(stages) == ["tokenize", "queue", "compute", "post"]
    assert all(float(milliseconds) >= 0 for milliseconds in stages.values())
    assert float(stages["compute"]) > 0


@pytest.mark.parametrize("path", ["/classify", "/qa", "/compare"])
def test_parameters_of_the_address_are_refused(client: httpx.Client, path: str) -> None:
    """Passed over, a request for fp32 would be answered by int8; the problem says where the parameter belongs."""
    problem = check_problem(client.post(f"{path}?variant=fp32", json={"inputs": "good"}), 422, "invalid_request")
    assert problem["field"] == "variant"
    assert '{"parameters": {"variant": ...}}' in problem["detail"]
    problem = check_problem(client.post(f"{path}?x", json={"inputs": "good"}), 422, "invalid_request")
    assert "'x'" in problem["detail"]
    assert "body" not in problem["detail"]


@pytest.mark.parametrize("name", ["model", "version", "variant"])
def test_an_empty_name_is_no_default(client: httpx.Client, name: str) -> None:
    """It comes from a program that meant to fill it in."""
    asked = {"inputs": "good", "parameters": {name: ""}}
    assert f"parameters.{name}" in refuse(client, asked, 422, "invalid_request")["detail"]
    question = {"question": "a", "context": "b", "parameters": {name: ""}}
    check_problem(client.post("/qa", json=question), 422, "invalid_request")
    comparison = {"task": "text-classification", "inputs": "good", "variants": ["int8", ""]}
    check_problem(client.post("/compare", json=comparison), 422, "invalid_request")
    assert client.post("/predict", params={name: ""}, json={"inputs": "good"}).status_code == 422


def test_the_encoding_identity_is_none(client: httpx.Client) -> None:
    """RFC 9110 has a word for it, and some clients send it."""
    response = client.post("/classify", json={"inputs": "good"}, headers={"content-encoding": "identity"})
    assert response.status_code == 200


def test_too_long_says_which_input(client: httpx.Client) -> None:
    """Of many the one; a pair is too long as a whole."""
    long = "good film " * 60
    assert refuse(client, {"inputs": ["good", long]}, 422, "too_long")["field"] == "inputs[1]"
    pair = {"text": "good", "text_pair": long}
    problem = refuse(client, {"inputs": ["good", pair]}, 422, "too_long")
    assert problem["field"] == "inputs[1]"
    assert problem["detail"].startswith("inputs[1] has 124 tokens, more than the limit of 64; ")
