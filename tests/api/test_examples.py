"""The examples of the OpenAPI document are true: the bundled models give the answers that stand there."""

from tests.api.examples import ask_all, bundled_service, same

RENEW = "after a change of models or examples: python -m tests.api.examples"


def test_examples_are_true() -> None:
    """Every example that the bundled models can answer has its answer in the document, to four places."""
    with bundled_service() as client:
        examples = ask_all(client)
    assert any(example.answerable for example in examples)
    for example in examples:
        if example.answer is not None or example.path in {"/classify", "/predict", "/v1/classify"}:
            where = f"{example.path} {example.name}; {RENEW}"
            assert same(example.response.json(), example.answer), where
