"""The client against a real service: what goes in, what comes out, what goes wrong."""

import asyncio
import math
import subprocess
import sys
from pathlib import Path

import pytest

from intbert.client import (
    AnswerError,
    ArgumentError,
    AsyncClient,
    Client,
    ClientError,
    ConnectionFailedError,
    NotFoundError,
    OverloadedError,
    Question,
    RequestError,
    RetryPolicy,
    TextPair,
)
from tests.api.conftest import RunningServer, run_server
from tests.api.packages import reference_digest
from tests.client.conftest import Scripted, scripted

TEXTS = ["the film was very good", "bad plot"]
QUESTION = Question(question="what was good", context="the film was very good and the plot was bad")


def test_classify(service: RunningServer) -> None:
    """One text, a pair, many; options by name; the same bits as the specification computes."""
    with Client(service.url) as client:
        one = client.classify(TEXTS[0])
        many = client.classify([*TEXTS, TextPair(text="a", text_pair="b")], return_digest=True, top_k=1)
        assert client.classify(TextPair(text="a", text_pair="b"), top_k=1).results == many.results[2:]
    assert one.best == (one.results[0][0],)
    assert one.best[0].label in {"negative", "positive"}
    assert (one.model.name, one.model.version, one.model.variant, one.digests) == ("tiny", "2", "int8", None)
    assert one.usage[0].tokens == 7
    assert set(one.stages_ms) == {"tokenize", "queue", "compute", "post"}
    assert len(one.request_id) == 32
    assert many.digests is not None
    assert many.digests[:2] == tuple(reference_digest(2, text) for text in TEXTS)
    assert [len(ranked) for ranked in many.results] == [1, 1, 1]


def test_qa(service: RunningServer) -> None:
    """One question or many; offsets fit the context."""
    with Client(service.url) as client:
        one = client.qa(QUESTION, top_k=2)
        many = client.qa([QUESTION, QUESTION], variant="int8", max_answer_len=2)
    best = one.best[0]
    assert QUESTION.context[best.start : best.end] == best.answer
    assert len(one.results[0]) == 2
    assert many.results[0] == many.results[1]


def test_compare(service: RunningServer) -> None:
    """Every variant's answer with its figures, and how far they agree."""
    with Client(service.url) as client:
        labels = client.compare(TEXTS)
        spans = client.compare_qa(QUESTION, ["fp32", "int8"], top_k=1)
        assert labels.variants[0].results == client.classify(TEXTS).results
    assert [variant.variant for variant in labels.variants] == ["int8", "fp32"]
    assert (labels.agreement[0].variant, labels.agreement[0].compared_with) == ("fp32", "int8")
    assert labels.agreement[0].inputs == 2
    assert [variant.variant for variant in spans.variants] == ["fp32", "int8"]
    assert spans.variants[0].digests is None
    assert spans.variants[1].memory.weights_bytes > 0


def test_models(service: RunningServer) -> None:
    """Typed entries of every version."""
    with Client(service.url) as client:
        entries = client.models()
    assert [(entry.name, entry.version) for entry in entries] == [("tiny", "1"), ("tiny", "2"), ("tiny-qa", "1")]
    assert entries[1].labels == ("negative", "positive")
    assert entries[1].variants["int8"].integer_only
    assert not entries[1].variants["fp32"].integer_only


def test_async_client_gives_the_same(service: RunningServer) -> None:
    """Method for method."""

    async def ask() -> None:
        async with AsyncClient(service.url) as client:
            answers = await asyncio.gather(*(client.classify(TEXTS) for _ in range(8)))
            question, models = await client.qa(QUESTION), await client.models()
            labels, spans = await client.compare(TEXTS), await client.compare_qa(QUESTION)
        with Client(service.url) as plain:
            assert {answer.results for answer in answers} == {plain.classify(TEXTS).results}
            assert question.results == plain.qa(QUESTION).results
            assert [entry.sha256 for entry in models] == [entry.sha256 for entry in plain.models()]
            assert labels.variants[0].results == plain.compare(TEXTS).variants[0].results
            assert spans.variants[0].results == plain.compare_qa(QUESTION).variants[0].results

    asyncio.run(ask())


def test_both_clients_have_the_same_methods() -> None:
    """What one can, the other can."""
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public - {"close"} == {name for name in vars(AsyncClient) if not name.startswith("_")} - {"aclose"}


def test_errors_carry_the_problem_document(service: RunningServer) -> None:
    """The class says what to do, the document has the figures."""
    with Client(service.url) as client:
        with pytest.raises(RequestError) as too_long:
            client.classify("good " * 100)
        with pytest.raises(NotFoundError) as unknown:
            client.classify("good", variant="w4")
        with pytest.raises(RequestError) as misspelt:
            client.classify("good", varaint="w4")  # type: ignore[call-arg]
    assert (too_long.value.status, too_long.value.code, too_long.value.problem["limit"]) == (422, "too_long", 64)
    assert unknown.value.problem["known"] == ["fp32", "int8"]
    assert "varaint" in misspelt.value.detail
    assert len(too_long.value.request_id) == 32


@pytest.mark.parametrize(
    "base_url",
    [
        "localhost:8791",
        "http://localhost:bad",
        "http://localhost:99999",
        "http://",
        "",
        "ftp://localhost",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_said_at_once(base_url: str) -> None:
    """When the client is made, with the address and one that would do."""
    for kind in (Client, AsyncClient):
        with pytest.raises(ArgumentError, match="no address") as caught:
            kind(base_url)
        assert isinstance(caught.value, ClientError)


def test_what_is_no_json_is_said_at_once() -> None:
    """Before anything is sent and without a second try; the text itself is not repeated."""
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ArgumentError, match="lone surrogate") as caught:
            client.classify("confidential \ud800")
        assert "confidential" not in str(caught.value)
        with pytest.raises(ArgumentError, match="JSON.*finite"):
            client.classify("good", top_k=math.nan)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="JSON"):
            client.classify("good", top_k=object())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="ASCII"):
        Client("http://127.0.0.1:9", api_key="schlüssel")


def test_an_answer_that_cannot_be_unpacked_is_no_answer() -> None:
    """Also what httpx itself stumbles over is one of our errors."""
    answer = Scripted(status=200, body=b"no gzip", headers=(("content-encoding", "gzip"),))
    with scripted([answer]) as stage, Client(stage.url) as client, pytest.raises(AnswerError):
        client.models()


def test_retries_carry_requests_over_an_overload(store: Path) -> None:
    """A server that takes one request at a time answers all, to clients that come back when it says."""
    with run_server(store, max_requests=1) as running:

        async def ask(retry: RetryPolicy) -> list[object]:
            async with AsyncClient(running.url, retry=retry) as client:
                calls = (client.classify(["good film " * 6] * 200) for _ in range(4))
                return await asyncio.gather(*calls, return_exceptions=True)

        impatient = asyncio.run(ask(RetryPolicy(attempts=1)))
        refused = [answer for answer in impatient if isinstance(answer, OverloadedError)]
        assert refused
        assert refused[0].retry_after_s == refused[0].problem["retry_after_ms"] / 1000 >= 0.05
        patient = asyncio.run(ask(RetryPolicy(attempts=30, budget_s=60.0)))
        assert [answer for answer in patient if isinstance(answer, BaseException)] == []


def test_nobody_there_is_said(store: Path) -> None:
    """After the retries, with the address."""
    with (
        Client("http://127.0.0.1:9", retry=RetryPolicy(attempts=2, first_s=0.001)) as client,
        pytest.raises(ConnectionFailedError, match="127.0.0.1:9"),
    ):
        client.models()


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    """Programs that only ask need httpx alone."""
    heavy = ["numpy", "pydantic", "fastapi", "starlette", "onnxruntime", "tokenizers", "intbert.errors"]
    code = f"import sys, intbert.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
