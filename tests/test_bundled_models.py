"""The models that every newcomer meets first, through a real server: `make serve` of this checkout."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from intbert.model.store import ModelStore
from intbert.runtime.batch import RaggedBatch, TokenSequence
from intbert.runtime.engines import load_engine
from loadtest.procfs import resident_mib
from tests.api.conftest import run_server

MODEL_STORE = Path(__file__).parents[1] / "model_store"
WORDS = 10_000
FACT = "The cat of the lighthouse keeper is called Marmalade."
QUESTION = "What is the name of the lighthouse keeper's cat?"
TOWNS = ("Ashford", "Millbrook", "Redhill", "Stonebridge", "Westlake", "Northgate")
THINGS = ("bridge", "market hall", "town wall", "mill", "school", "harbour", "granary")
DEEDS = ("repaired", "painted", "sold", "extended", "measured", "opened")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of a server on the bundled store."""
    with run_server(MODEL_STORE) as server, server.client() as found:
        yield found


def document(fact_at: float) -> str:
    """10,000 words of council records, with the fact after that share of them."""
    generator = random.Random(11)
    sentences: list[str] = []
    words = 0
    placed = False
    while words < WORDS:
        if not placed and words >= fact_at * (WORDS - 20):
            sentence, placed = FACT, True
        else:
            year, town = generator.randint(1400, 1999), generator.choice(TOWNS)
            sentence = f"In {year} the council of {town} {generator.choice(DEEDS)} the {generator.choice(THINGS)}."
        sentences.append(sentence)
        words += len(sentence.split())
    return " ".join(sentences)


def test_the_store_holds_both_tasks() -> None:
    """A classifier and a span model, each int8 beside FP32."""
    packages = [ModelStore(MODEL_STORE).open(name) for name in ModelStore(MODEL_STORE).models()]
    assert {package.manifest.task for package in packages} == {"text-classification", "question-answering"}
    for package in packages:
        assert {"int8", "fp32"} <= set(package.manifest.variants)
        assert package.manifest.card.measured["verification"]["identical"] is True  # type: ignore[index,call-overload]


def test_the_weights_are_in_memory_once_whatever_the_number_of_workers() -> None:
    """Sixteen workers' sessions, each of which has computed, need less than half of the weights together."""
    package = ModelStore(MODEL_STORE).open("sst2-minilm-l6")
    engine = load_engine(package, "int8")
    batch = RaggedBatch.of([TokenSequence.of([101, 2023, 2003, 1037, 2143, 102])])
    engine.session(1).run(batch)
    before_mib = resident_mib(os.getpid())
    sessions = [engine.session(1) for _ in range(16)]
    for session in sessions:
        session.run(batch)
    assert resident_mib(os.getpid()) - before_mib < engine.weights_bytes / 2**20 / 2


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_the_sentiment_of_two_plain_sentences(client: httpx.Client, variant: str) -> None:
    """Praise is positive, complaint negative."""
    texts = ["a gripping, beautifully acted film", "two hours I will not get back"]
    body = client.post("/classify", json={"inputs": texts, "parameters": {"variant": variant}}).json()
    assert [result[0]["label"] for result in body["results"]] == ["positive", "negative"]


@pytest.mark.parametrize(
    ("variant", "fact_at"), [("int8", 0.0), ("int8", 0.37), ("int8", 1.0), ("fp32", 0.37)], ids=str
)
def test_a_span_is_found_anywhere_in_ten_thousand_words(client: httpx.Client, variant: str, fact_at: float) -> None:
    """At its offsets, in windows, nothing truncated."""
    context = document(fact_at)
    body = {"question": QUESTION, "context": context, "parameters": {"variant": variant}}
    response = client.post("/qa", json=body).json()
    answer, usage = response["results"][0][0], response["usage"][0]
    assert "Marmalade" in answer["answer"]
    assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert abs(answer["start"] - context.index("Marmalade")) < len(FACT)
    assert usage["windows"] > 30
    assert not usage["truncated"]
    assert usage["tokens_dropped"] == 0
