"""POST /qa against a real server."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from intbert.model.package import Package
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.qa import QaParameters, Question, encode_question
from intbert.runtime.reference import ReferenceEngine
from tests.api.conftest import RunningServer, run_server

SHORT = {"question": "was the film good", "context": "the film was very good and the actors beautifully acted"}
SENTENCES = ["the film was very good.", "the plot is thin and bad.", "a gripping film, beautifully acted!"]
LONG = " ".join(SENTENCES[i % 3] for i in range(60))


@pytest.fixture(scope="module")
def server(tiny_store: Path) -> Iterator[RunningServer]:
    """One server for all tests of this file."""
    with run_server(tiny_store) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of it."""
    with server.client() as found:
        yield found


def ask(client: httpx.Client, body: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """The answer's body; anything but 200 fails."""
    response = client.post("/qa", json=body | {"parameters": parameters})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_an_answer_is_the_text_at_its_offsets(client: httpx.Client, variant: str) -> None:
    """On both variants, for every one of the best spans."""
    body = ask(client, SHORT, variant=variant, top_k=5)
    answers = body["results"][0]
    assert len(answers) == 5
    assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)
    for answer in answers:
        assert answer["answer"] == SHORT["context"][answer["start"] : answer["end"]] != ""
    assert body["usage"] == [
        {"tokens": body["usage"][0]["tokens"], "windows": 1, "truncated": False, "tokens_dropped": 0}
    ]
    assert body["model"]["name"] == "tiny-qa"
    assert body["model"]["variant"] == variant


def test_a_long_document_is_read_in_windows_and_nothing_is_dropped(client: httpx.Client) -> None:
    """Windows overlap, so more tokens are computed than the document has; any part of it may hold the answer."""
    body = ask(client, SHORT | {"context": LONG}, top_k=1000, max_answer_len=1, overlap=8)
    usage = body["usage"][0]
    assert usage["windows"] > 5
    assert not usage["truncated"]
    starts = {answer["start"] for answer in body["results"][0]}
    words = [index for index in range(len(LONG)) if LONG[index].isalpha() and (index == 0 or LONG[index - 1] == " ")]
    assert set(words) <= starts


def test_one_question_and_many_have_one_shape(client: httpx.Client) -> None:
    """`inputs` may be one object or a list; each equals the same question alone, digest included."""
    alone = ask(client, SHORT, return_digest=True)
    assert ask(client, {"inputs": SHORT}, return_digest=True) == alone
    many = ask(client, {"inputs": [SHORT, SHORT | {"context": LONG}, SHORT]}, return_digest=True)
    assert many["results"][0] == many["results"][2] == alone["results"][0]
    assert many["digests"][0] == many["digests"][2] == alone["digests"][0] != many["digests"][1]


def test_the_digest_is_that_of_the_normative_arithmetic(client: httpx.Client, tiny_store: Path) -> None:
    """Window by window, all starts, then all ends, in int32, little endian."""
    package = Package.open(tiny_store / "tiny-qa" / "1")
    encoded = encode_question(
        package.tokenizer(),
        Question(question=SHORT["question"], context=LONG),
        QaParameters(),
        limit_tokens=package.manifest.max_tokens,
    )
    session = ReferenceEngine(package.program("int8"), logit_scale=1.0).session(1)
    expected = sha256()
    for window in encoded.windows:
        sequence = TokenSequence(token_ids=window.token_ids, type_ids=window.type_ids)
        logits = session.run(RaggedBatch.of([sequence]))
        expected.update(np.ascontiguousarray(logits.T).astype("<i4").tobytes())
    body = ask(client, SHORT | {"context": LONG}, return_digest=True)
    assert body["digests"] == [expected.hexdigest()]


@pytest.mark.parametrize(
    ("unit", "encoding", "bytes_a_unit"),
    [("codepoint", "utf-32-le", 4), ("utf16", "utf-16-le", 2), ("utf8", "utf-8", 1)],
)
def test_offsets_count_what_was_asked_for(client: httpx.Client, unit: str, encoding: str, bytes_a_unit: int) -> None:
    """Cutting the encoded context at the offsets gives the answer, beyond the basic plane and with combining marks."""
    context = "👩‍🚀 film 電影 cafe\u0301 the good plot 🎬 was thin"
    encoded = context.encode(encoding)
    body = ask(client, SHORT | {"context": context}, offsets=unit, top_k=30)
    for answer in body["results"][0]:
        cut = encoded[answer["start"] * bytes_a_unit : answer["end"] * bytes_a_unit]
        assert cut.decode(encoding) == answer["answer"]


def test_no_answer_is_a_candidate_only_when_asked_for(client: httpx.Client) -> None:
    """Then it is the empty span at 0, with a probability of its own."""
    usual = ask(client, SHORT, top_k=1000)["results"][0]
    assert all(answer["answer"] for answer in usual)
    with_null = ask(client, SHORT, top_k=1000, handle_impossible_answer=True)["results"][0]
    nulls = [answer for answer in with_null if not answer["answer"]]
    assert [(null["start"], null["end"]) for null in nulls] == [(0, 0)]
    assert sum(answer["score"] for answer in with_null) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"question": "what"}, 422, "invalid_request"),
        ({"question": "what", "context": "the film", "inputs": []}, 422, "invalid_request"),
        ({"inputs": []}, 422, "empty_inputs"),
        ({"question": "  ", "context": "the film"}, 422, "empty_text"),
        ({"question": "what", "context": ""}, 422, "empty_text"),
        ({"question": "what", "context": "film", "parameters": {"model": "tiny"}}, 422, "wrong_task"),
        ({"question": "what", "context": "film", "parameters": {"model": "none"}}, 404, "model_not_found"),
        ({"question": "what", "context": "film", "parameters": {"variant": "w4"}}, 404, "variant_not_found"),
        ({"question": "what", "context": "film", "parameters": {"top_k": 0}}, 422, "invalid_request"),
        ({"question": "what", "context": LONG, "parameters": {"truncation": "error"}}, 422, "too_long"),
        (
            {"question": "a", "context": "film", "parameters": {"variant": "fp32", "return_digest": True}},
            422,
            "digest_unavailable",
        ),
    ],
)
def test_bad_requests_get_their_own_code(client: httpx.Client, body: dict[str, Any], status: int, code: str) -> None:
    """In application/problem+json, with the status of the document."""
    response = client.post("/qa", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


def test_one_request_counts_one_request_and_its_windows(server: RunningServer) -> None:
    """The windows are observed once a question."""
    with server.client() as client:
        before = server.series()
        windows = ask(client, SHORT | {"context": LONG})["usage"][0]["windows"]
        after = server.series()
    labels = (("model", "tiny-qa"), ("variant", "int8"))
    key = ("intbert_qa_windows_sum", labels)
    assert after[key] - before[key] == windows
    count = ("intbert_qa_windows_count", labels)
    assert after[count] - before[count] == 1
    counted = [name for name in after if name[0] == "intbert_requests_total" and after[name] != before.get(name, 0.0)]
    assert [dict(name[1])["endpoint"] for name in counted] == ["/qa"]
