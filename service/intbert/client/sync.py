"""The client that waits."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from intbert.client import calls
from intbert.client.calls import TIMEOUT_S, Call, Questions, Server, Texts
from intbert.client.errors import ClientError
from intbert.client.options import ClassifyComparisonOptions, ClassifyOptions, QaComparisonOptions, QaOptions
from intbert.client.retry import RetryPolicy, pause_s
from intbert.client.types import Classification, Comparison, ModelEntry, QuestionAnswers

Result = TypeVar("Result")


class Client:
    """One service. Thread-safe; keeps its connections, so use one for many requests and close it."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retry: RetryPolicy | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        """`timeout_s` bounds the connecting and the waiting of one attempt. `http` brings its own connections,
        certificates and proxies; it is not closed here, and its own timeout is not used. ArgumentError for an address
        or a key that can't be."""
        self._server = Server.of(base_url, api_key=api_key, timeout_s=timeout_s)
        self._http = http or httpx.Client()
        self._owned = http is None
        self._retry = retry or RetryPolicy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they were brought."""
        if self._owned:
            self._http.close()

    def classify(self, inputs: Texts, **options: Unpack[ClassifyOptions]) -> Classification:
        """Labels with scores of a text, a pair, or a list of either. ClientError."""
        return self._call(calls.classify(inputs, options))

    def qa(self, questions: Questions, **options: Unpack[QaOptions]) -> QuestionAnswers:
        """Answers to a question, or to many, each about its own context. ClientError."""
        return self._call(calls.answer(questions, options))

    def compare(
        self, inputs: Texts, variants: Sequence[str] | None = None, **options: Unpack[ClassifyComparisonOptions]
    ) -> Comparison:
        """Classify with several variants of one model, by default all. ClientError."""
        return self._call(calls.compare_labels(inputs, variants, options))

    def compare_qa(
        self, questions: Questions, variants: Sequence[str] | None = None, **options: Unpack[QaComparisonOptions]
    ) -> Comparison:
        """Answer with several variants of one model, by default all. ClientError."""
        return self._call(calls.compare_answers(questions, variants, options))

    def models(self) -> tuple[ModelEntry, ...]:
        """Every model and version in the store. ClientError."""
        return self._call(calls.models())

    def _call(self, call: Call[Result]) -> Result:
        attempts, waited_s = 0, 0.0
        while True:
            attempts += 1
            try:
                return calls.read(call, self._send(call))
            except ClientError as error:
                pause = pause_s(self._retry, error, attempts=attempts, waited_s=waited_s)
                if pause is None:
                    raise
            time.sleep(pause)
            waited_s += pause

    def _send(self, call: Call[Result]) -> httpx.Response:
        with self._server.translated():
            return self._http.request(**self._server.arguments(call))
