"""Other servers' protocols on the wire: their requests, their answers, their errors, over the same engine."""

import json
import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import RunningServer
from tests.api.test_classify import TEXTS, classify
from tests.api.test_metrics_on_the_wire import changes

LONG = "good film " * 60
PAIR = {"text": "good film", "text_pair": "bad plot"}


def post(client: httpx.Client, path: str, body: Any, **options: Any) -> Any:
    """The answer; fails on anything but 200."""
    response = client.post(path, json=body, **options)
    assert response.status_code == 200, response.text
    return response.json()


def test_tei_answers_a_text_with_a_list_and_a_batch_with_lists(client: httpx.Client) -> None:
    """The labels and scores of /classify, in the two shapes of /predict."""
    ours = classify(client, TEXTS)["results"]
    assert post(client, "/predict", {"inputs": TEXTS[0]}) == ours[0]
    assert post(client, "/predict", {"inputs": [[text] for text in TEXTS]}) == ours
    assert post(client, "/predict", {"inputs": [TEXTS[0]]}) == ours[0]


def test_tei_reads_a_flat_list_of_two_as_a_pair(client: httpx.Client) -> None:
    """In this protocol it is one; batches may mix texts and pairs."""
    (ours,) = classify(client, PAIR)["results"]
    (single,) = classify(client, "good film")["results"]
    assert post(client, "/predict", {"inputs": ["good film", "bad plot"]}) == ours
    assert post(client, "/predict", {"inputs": [["good film"], ["good film", "bad plot"]]}) == [single, ours]


def test_tei_raw_scores_and_truncate(client: httpx.Client) -> None:
    """Logits on request; a long text is refused unless its end may be dropped."""
    (logits,) = classify(client, TEXTS[0], function_to_apply="none")["results"]
    assert post(client, "/predict", {"inputs": TEXTS[0], "raw_scores": True}) == logits
    (cut,) = classify(client, LONG, truncation="truncate")["results"]
    asked = {"inputs": LONG, "truncate": True, "truncation_direction": "Right"}
    assert post(client, "/predict", asked) == cut


def test_v1_has_probabilities_in_the_order_of_the_labels(client: httpx.Client) -> None:
    """The fields that vLLM and SGLang document, and no others."""
    ours = classify(client, TEXTS)
    answer = post(client, "/v1/classify", {"model": "tiny", "input": TEXTS})
    assert set(answer) == {"id", "object", "created", "model", "data", "usage"}
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    assert re.fullmatch(r"classify-[0-9a-f]{32}", answer["id"])
    for index, (entry, ranked) in enumerate(zip(answer["data"], ours["results"], strict=True)):
        scores = {item["label"]: item["score"] for item in ranked}
        assert entry == {
            "index": index,
            "label": ranked[0]["label"],
            "probs": [scores["negative"], scores["positive"]],
            "num_classes": 2,
        }
    tokens = sum(usage["tokens"] for usage in ours["usage"])
    assert answer["usage"] == {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }


def test_v1_one_text_without_a_model(client: httpx.Client) -> None:
    """Logits without activation; -1 cuts at the model's limit; what means nothing here is accepted."""
    (logits,) = classify(client, LONG, truncation="truncate", function_to_apply="none")["results"]
    body = {"input": LONG, "use_activation": False, "truncate_prompt_tokens": -1, "user": "u", "priority": 0}
    (entry,) = post(client, "/v1/classify", body)["data"]
    assert sorted(entry["probs"]) == sorted(item["score"] for item in logits)


def test_hf_lists_are_bare(client: httpx.Client) -> None:
    """One list an input, also for one; several answers only when several were asked for."""
    ours = classify(client, TEXTS, top_k=1)["results"]
    assert post(client, "/hf/text-classification", {"inputs": TEXTS, "parameters": {"top_k": 1}}) == ours
    assert post(client, "/hf/text-classification", {"inputs": PAIR}) == classify(client, PAIR)["results"]
    question = {"question": "what was good", "context": "the film was very good"}
    (best, second) = post(client, "/qa", question | {"parameters": {"top_k": 2}})["results"][0]
    path, one, two = "/hf/question-answering", {"inputs": question}, {"top_k": 2}
    assert post(client, path, one) == best
    assert post(client, path, one | {"parameters": two}) == [best, second]
    assert post(client, path, {"inputs": [question, question]}) == [best, best]
    assert post(client, path, {"inputs": [question], "parameters": two}) == [[best, second]]


def test_hf_parameters_are_those_of_qa_under_their_other_names(client: httpx.Client) -> None:
    """doc_stride is the overlap of windows."""
    question = {"question": "what was good", "context": "the film was very good and the plot was bad " * 20}
    limits = {"max_answer_len": 3, "max_seq_len": 40, "max_question_len": 2, "handle_impossible_answer": True}
    ours = post(client, "/qa", question | {"parameters": limits | {"overlap": 5, "top_k": 3}})["results"][0]
    asked = {"inputs": question, "parameters": limits | {"doc_stride": 5, "top_k": 3}}
    assert post(client, "/hf/question-answering", asked) == ours


@pytest.mark.parametrize("path", ["/predict", "/hf/text-classification"])
def test_the_address_chooses_the_model(client: httpx.Client, path: str) -> None:
    """For protocols that have no word for it."""
    (ours,) = classify(client, TEXTS[0], variant="fp32", model="tiny", version="1")["results"]
    chosen = {"model": "tiny", "version": "1", "variant": "fp32"}
    answer = post(client, path, {"inputs": TEXTS[0]}, params=chosen)
    assert answer == ([ours] if path.startswith("/hf") else ours)
    assert client.post(path, json={"inputs": "a"}, params={"varaint": "fp32"}).status_code == 422


REFUSALS: list[tuple[str, Any, int]] = [
    ("/predict", {"inputs": []}, 422),
    ("/predict", {"inputs": [["a", "b", "c"]]}, 422),
    ("/predict", {"inputs": ["a", ["b"]]}, 422),
    ("/predict", {"inputs": "a", "truncation_direction": "Left"}, 422),
    ("/predict", {"inputs": LONG}, 422),
    ("/predict", {"inputs": [["a"]] * 17}, 413),
    ("/v1/classify", {"input": [1, 2, 3]}, 422),
    ("/v1/classify", {"input": "a", "model": "nope"}, 404),
    ("/v1/classify", {"input": "a", "truncate_prompt_tokens": 8}, 422),
    ("/v1/classify", {"input": "a", "priority": 3}, 422),
    ("/hf/text-classification", {"inputs": "a", "parameters": {"top_k": 0}}, 422),
    ("/hf/question-answering", {"inputs": {"question": "a"}}, 422),
    (
        "/hf/question-answering",
        {"inputs": {"question": "a", "context": "b"}, "parameters": {"align_to_words": True}},
        422,
    ),
    ("/hf/nothing", {}, 404),
    ("/v2/models/tiny/infer", {"inputs": []}, 422),
    ("/v2/models/nope/infer", {"inputs": []}, 404),
]


@pytest.mark.parametrize(("path", "body", "status"), REFUSALS)
def test_refusals_have_the_protocols_shape(client: httpx.Client, path: str, body: Any, status: int) -> None:
    """The status of the one table, in the body that clients of that protocol can read."""
    response = client.post(path, json=body)
    check_shape(path, response, status)


@pytest.mark.parametrize("path", ["/predict", "/v1/classify", "/hf/text-classification", "/v2/models/tiny/infer"])
def test_what_is_wrong_as_http_has_it_too(client: httpx.Client, path: str) -> None:
    """No JSON, another media type, another method: answered before the protocol is looked at, in its shape."""
    check_shape(path, client.post(path, content=b"{", headers={"content-type": "application/json"}), 400)
    check_shape(path, client.post(path, content=b"{}", headers={"content-type": "text/plain"}), 415)
    check_shape(path, client.get(path), 405)


def check_shape(path: str, response: httpx.Response, status: int) -> None:
    """Exactly the members that the protocol has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    if path == "/predict":
        assert set(body) == {"error", "error_type"}
        assert body["error_type"] == "Validation"
    elif path.startswith("/v1/"):
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["code"] == status
    else:
        assert set(body) == {"error"}
        assert isinstance(body["error"], str)


def test_tei_names_empty_inputs(client: httpx.Client) -> None:
    """One of its own kinds of error."""
    assert client.post("/predict", json={"inputs": " "}).json()["error_type"] == "Empty"


@pytest.mark.parametrize(
    ("path", "endpoint", "body"),
    [
        ("/predict", "/predict", {"inputs": "good film"}),
        ("/v1/classify", "/v1/classify", {"input": "good film"}),
        ("/hf/text-classification", "/hf/text-classification", {"inputs": "good film"}),
        (
            "/v2/models/tiny/versions/2/infer",
            "/v2/infer",
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good film"]}]},
        ),
    ],
)
def test_one_request_counts_once_under_its_endpoint(
    server: RunningServer, path: str, endpoint: str, body: dict[str, Any]
) -> None:
    """Like every other request: one answer, one of each stage, its tokens."""
    with server.client() as client:
        post(client, path, body)
        before = server.series()
        post(client, path, body)
    changed = changes(before, server.series())
    assert changed[f"requests_total(200,{endpoint},tiny,int8,2)"] == 1
    assert [name for name in changed if name.startswith("requests_total")] == [
        f"requests_total(200,{endpoint},tiny,int8,2)"
    ]
    assert changed["request_duration_seconds_count(tiny,int8)"] == 1
    assert changed["request_tokens_sum(tiny,int8)"] == 4


def test_refusals_are_counted_under_the_protocols_endpoint(server: RunningServer) -> None:
    """However many models there are in the address, there is one series."""
    before = server.series()
    with server.client() as client:
        client.post("/v2/models/nope/infer", json={"inputs": []})
    changed = changes(before, server.series())
    assert changed == {"requests_total(404,/v2/infer,,,)": 1, "request_failures_total(invalid)": 1}


def test_every_endpoint_has_its_series_from_the_start(client: httpx.Client) -> None:
    """Alerts on an adapter must find it at zero."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families if family.name == "intbert_requests" for sample in family.samples]
    endpoints = {sample.labels["endpoint"] for sample in samples if sample.labels["variant"] == "int8"}
    assert {"/predict", "/v1/classify", "/v2/infer", "/hf/text-classification", "/hf/question-answering"} <= endpoints


@pytest.mark.parametrize(
    ("path", "inputs", "words"),
    [
        (
            "/predict",
            {"inputs": [["good"], [LONG]]},
            'inputs[1] has 122 tokens, more than the limit of 64; .*"truncate": true',
        ),
        ("/v1/classify", {"input": ["good", LONG]}, 'input[1] has .*"truncate_prompt_tokens": -1'),
        ("/hf/text-classification", {"inputs": ["good", LONG]}, 'inputs[1] has .*"parameters": {"truncation": true}'),
    ],
)
def test_the_way_out_is_that_of_the_protocol(client: httpx.Client, path: str, inputs: Any, words: str) -> None:
    """The input is named, and the parameter that this protocol has; following the advice works."""
    response = client.post(path, json=inputs)
    assert response.status_code == 422
    pattern = ".*".join(map(re.escape, words.split(".*")))
    assert re.search(pattern, json.dumps(response.json()).replace('\\"', '"')), response.text
    (advice,) = re.findall('send ("[^.]*?)"[,}]', response.text.replace('\\"', '"'))
    assert client.post(path, json=inputs | json.loads(f"{{{advice}}}")).status_code == 200


@pytest.mark.parametrize(("inputs", "param"), [("", "input"), (["good", ""], "input[1]"), (["good", LONG], "input[1]")])
def test_v1_names_its_own_parameter(client: httpx.Client, inputs: Any, param: str) -> None:
    """The field is called `input` there, in the message too."""
    error = client.post("/v1/classify", json={"input": inputs}).json()["error"]
    assert error["param"] == param
    assert error["message"].startswith(param)
