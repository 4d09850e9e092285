"""Answers to the document's examples, as the bundled models give them; `python -m tests.api.examples` renews them."""

import json
from importlib.resources import files
from typing import Any

FILE = "examples.json"


def add_answers(document: dict[str, Any]) -> None:
    """Put the answers beside the examples of the requests, under the same names."""
    for path, answers in read_answers().items():
        content = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        content["examples"] = {name: {"value": answer} for name, answer in answers.items()}


def read_answers() -> dict[str, dict[str, Any]]:
    """By path and name of the example."""
    answers: dict[str, dict[str, Any]] = json.loads(files("intbert.api").joinpath(FILE).read_text(encoding="utf-8"))
    return answers
