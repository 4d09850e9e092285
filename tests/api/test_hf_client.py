"""huggingface_hub's own client against the /hf routes."""

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.api.conftest import RunningServer
from tests.api.test_classify import TEXTS, classify

CONTEXT = "the film was very good and the plot was bad"


def hub(server: RunningServer, path: str) -> InferenceClient:
    """The client, its model an address as for a private endpoint. The key is no key of anyone."""
    return InferenceClient(model=server.url + path, token="none")


def test_text_classification(server: RunningServer) -> None:
    """Labels and scores of /classify, with the client's own parameters."""
    client = hub(server, "/hf/text-classification")
    with server.client() as plain:
        ours = classify(plain, TEXTS[0])["results"][0]
        logits = classify(plain, TEXTS[0], function_to_apply="none", top_k=1)["results"][0]
    assert [(item.label, item.score) for item in client.text_classification(TEXTS[0])] == [
        (item["label"], item["score"]) for item in ours
    ]
    (best,) = client.text_classification(TEXTS[0], top_k=1, function_to_apply="none")
    assert (best.label, best.score) == (logits[0]["label"], logits[0]["score"])


def test_the_address_chooses_the_variant(server: RunningServer) -> None:
    """The client keeps the query of its model's address."""
    (best,) = hub(server, "/hf/text-classification?variant=fp32").text_classification(TEXTS[0], top_k=1)
    with server.client() as plain:
        assert best.score == classify(plain, TEXTS[0], variant="fp32")["results"][0][0]["score"]


def test_question_answering(server: RunningServer) -> None:
    """One answer is one object, several are a list."""
    client = hub(server, "/hf/question-answering")
    best = client.question_answering("what was good", CONTEXT)
    assert not isinstance(best, list)
    assert CONTEXT[best.start : best.end] == best.answer
    several = client.question_answering("what was good", CONTEXT, top_k=3, doc_stride=8, max_answer_len=4)
    assert isinstance(several, list)
    assert len(several) == 3
    assert several[0].score >= several[1].score >= several[2].score


def test_errors_reach_the_user(server: RunningServer) -> None:
    """The client shows our sentence."""
    with pytest.raises(HfHubHTTPError, match="inputs is empty"):
        hub(server, "/hf/text-classification").text_classification(" ")
