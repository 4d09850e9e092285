"""Requests and answers without a connection: what both clients send, and what they make of what comes back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import httpx

from intbert.client.decoding import decode
from intbert.client.errors import AnswerError, ApiError, ArgumentError, ConnectionFailedError, api_error
from intbert.client.options import (
    ClassifyComparisonOptions,
    ClassifyOptions,
    QaComparisonOptions,
    QaOptions,
    Question,
    TextPair,
)
from intbert.client.retry import retry_after_s
from intbert.client.types import Classification, Comparison, ModelEntry, QuestionAnswers

Result = TypeVar("Result")
Texts = str | TextPair | Sequence[str | TextPair]
Questions = Question | Sequence[Question]
TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Result]):
    """One request, and how to read its answer."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    read: Callable[[httpx.Response], Result]


def classify(inputs: Texts, options: ClassifyOptions) -> Call[Classification]:
    """POST /classify."""
    return _post("/classify", {"inputs": _texts(inputs), "parameters": dict(options)}, Classification)


def answer(questions: Questions, options: QaOptions) -> Call[QuestionAnswers]:
    """POST /qa."""
    return _post("/qa", {"inputs": _questions(questions), "parameters": dict(options)}, QuestionAnswers)


def compare_labels(
    inputs: Texts, variants: Sequence[str] | None, options: ClassifyComparisonOptions
) -> Call[Comparison]:
    """POST /compare of a classification."""
    return _compare("text-classification", _texts(inputs), variants, options)


def compare_answers(
    questions: Questions, variants: Sequence[str] | None, options: QaComparisonOptions
) -> Call[Comparison]:
    """POST /compare of questions."""
    return _compare("question-answering", _questions(questions), variants, options)


def models() -> Call[tuple[ModelEntry, ...]]:
    """GET /models."""

    def read(response: httpx.Response) -> tuple[ModelEntry, ...]:
        entries = _document(response).get("models")
        if not isinstance(entries, list):
            raise AnswerError("answer.models is missing: is this server an intbert?")
        return tuple(decode(ModelEntry, entry, f"answer.models[{index}]") for index, entry in enumerate(entries))

    return Call(method="GET", path="/models", body=None, read=read)


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where requests go, and what each of them carries. `timeout_s` bounds one attempt's connecting and waiting."""

    url: str
    headers: Mapping[str, str]
    timeout_s: float

    @classmethod
    def of(cls, base_url: str, *, api_key: str | None, timeout_s: float) -> "Server":
        """With the key as a bearer token, if there is one. ArgumentError for what no request could be sent with."""
        _check_address(base_url)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ArgumentError("api_key has other characters than printable ASCII: no key of a server has")
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        return cls(url=base_url.rstrip("/"), headers=headers, timeout_s=timeout_s)

    def arguments(self, call: Call[Any]) -> dict[str, Any]:
        """Of httpx's `request`. ArgumentError for a body that is no JSON."""
        sent = {} if call.body is None else {"content": _encoded(call.body)}
        declared = {} if call.body is None else {"content-type": "application/json"}
        return {
            "method": call.method,
            "url": self.url + call.path,
            "headers": {**self.headers, **declared},
            "timeout": self.timeout_s,
            **sent,
        }

    @contextmanager
    def translated(self) -> Iterator[None]:
        """A connection that fails becomes ConnectionFailedError, an answer that httpx can't read AnswerError."""
        try:
            yield
        except httpx.TransportError as error:
            raise ConnectionFailedError(f"{self.url} did not answer: {error!r}") from error
        except httpx.RequestError as error:
            raise AnswerError(f"the answer of {self.url} can't be read: {error!r}") from error


def _check_address(base_url: str) -> None:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ArgumentError(f"base_url {base_url!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 80) < 65536:
        raise ArgumentError(f"base_url {base_url!r} is no address; give one like http://localhost:8000")


def _encoded(body: Mapping[str, Any]) -> bytes:
    """As JSON has it. The message of an encoding error would repeat the text."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            f"a text is no valid Unicode: it has a lone surrogate, {error.object[error.start]!a}; send well-formed text"
        ) from None
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"the request can't be written as JSON, where numbers are finite: {error}") from error


def read(call: Call[Result], response: httpx.Response) -> Result:
    """The answer. ApiError for what the service says went wrong, AnswerError for what is no answer of it."""
    if response.status_code != httpx.codes.OK:
        raise read_error(response)
    return call.read(response)


def read_error(response: httpx.Response) -> ApiError:
    """The error that a response says."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    asked_s = retry_after_s(response.headers.get("retry-after"), problem.get("retry_after_ms"))
    return api_error(problem, status=response.status_code, retry_after_s=asked_s)


def stages_ms(header: str) -> dict[str, float]:
    """`tokenize;dur=0.1, queue;dur=0.2` as a mapping; entries without a duration are left out."""
    stages = {}
    for entry in header.split(","):
        name, _, rest = entry.strip().partition(";dur=")
        try:
            stages[name] = float(rest)
        except ValueError:
            continue
    return stages


def _compare(task: str, inputs: Any, variants: Sequence[str] | None, options: Mapping[str, object]) -> Call[Comparison]:
    chosen = {} if variants is None else {"variants": list(variants)}
    return _post("/compare", {"task": task, "inputs": inputs, "parameters": dict(options), **chosen}, Comparison)


def _post(path: str, body: Mapping[str, Any], kind: type[Result]) -> Call[Result]:
    def read(response: httpx.Response) -> Result:
        exchange = {
            "request_id": response.headers.get("x-request-id", ""),
            "stages_ms": stages_ms(response.headers.get("server-timing", "")),
        }
        return decode(kind, _document(response) | exchange)

    return Call(method="POST", path=path, body=body, read=read)


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        raise AnswerError(f"{response.url} answered no JSON: is this server an intbert?") from None
    if not isinstance(document, dict):
        raise AnswerError(f"{response.url} answered no JSON object: is this server an intbert?")
    return document


def _texts(inputs: Texts) -> Any:
    if isinstance(inputs, str):
        return inputs
    if isinstance(inputs, TextPair):
        return asdict(inputs)
    return [item if isinstance(item, str) else asdict(item) for item in inputs]


def _questions(questions: Questions) -> Any:
    return asdict(questions) if isinstance(questions, Question) else [asdict(item) for item in questions]
