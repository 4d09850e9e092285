"""The examples of the OpenAPI document, asked of the bundled models; as a program it writes their answers down."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api.conftest import run_server

ROOT = Path(__file__).parents[2]
FILE = ROOT / "service" / "intbert" / "api" / "examples.json"
# What differs from answer to answer, from machine to machine, or from build to build of the same model.
CHANGING = frozenset({"id", "created", "timings", "memory", "engine", "sha256"})


@dataclass(frozen=True, kw_only=True)
class Example:
    """One example of the document; `answer` is the documented one, `response` what the service says now."""

    path: str
    name: str
    answer: Any
    response: httpx.Response

    @property
    def answerable(self) -> bool:
        """False when the store has no model for the task."""
        return self.response.status_code == 200


@contextmanager
def bundled_service() -> Iterator[httpx.Client]:
    """The models that come with the code, served."""
    with run_server(ROOT / "model_store") as server, server.client() as client:
        yield client


def ask_all(client: httpx.Client) -> list[Example]:
    """Every example of every route. Fails when one is neither answered nor without a model."""
    document = client.get("/openapi.json").json()
    asked = []
    for path, operations in sorted(document["paths"].items()):
        for name, body in _examples(operations.get("post", {}).get("requestBody")).items():
            response = client.post(path.format(name=_classifier(client), version="1"), json=body)
            missing = response.status_code == 404 and "question-answering" in response.text
            assert response.status_code == 200 or missing, f"{path} {name}: {response.text}"
            answers = _examples(operations["post"]["responses"]["200"])
            asked.append(Example(path=path, name=name, answer=answers.get(name), response=response))
    return asked


def same(answer: Any, documented: Any) -> bool:
    """Leaving out what changes; numbers to four places, for floats of another CPU."""
    if isinstance(answer, dict) and isinstance(documented, dict):
        stays = answer.keys() - CHANGING
        return answer.keys() == documented.keys() and all(same(answer[name], documented[name]) for name in stays)
    if isinstance(answer, list) and isinstance(documented, list):
        return len(answer) == len(documented) and all(map(same, answer, documented))
    if isinstance(answer, float) and isinstance(documented, float):
        return math.isclose(answer, documented, abs_tol=1e-4)
    return bool(answer == documented)


def _examples(holder: Any) -> dict[str, Any]:
    content = (holder or {}).get("content", {}).get("application/json", {})
    return {name: example["value"] for name, example in content.get("examples", {}).items()}


def _classifier(client: httpx.Client) -> str:
    models = client.get("/models").json()["models"]
    return next(str(entry["name"]) for entry in models if entry["task"] == "text-classification")


def main() -> int:
    """Write what the bundled models answer now."""
    answers: dict[str, dict[str, Any]] = {}
    with bundled_service() as client:
        for example in ask_all(client):
            if example.answerable:
                answers.setdefault(example.path, {})[example.name] = example.response.json()
    FILE.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{sum(len(entries) for entries in answers.values())} answers written to {FILE.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
