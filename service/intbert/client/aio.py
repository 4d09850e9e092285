"""The same client for asyncio."""

import asyncio
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


class AsyncClient:
    """One service, for one event loop; keeps its connections, so use one for many requests and close it."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retry: RetryPolicy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`timeout_s` bounds the connecting and the waiting of one attempt. `http` brings its own connections,
        certificates and proxies; it is not closed here, and its own timeout is not used. ArgumentError for an address
        or a key that can't be."""
        self._server = Server.of(base_url, api_key=api_key, timeout_s=timeout_s)
        self._http = http or httpx.AsyncClient()
        self._owned = http is None
        self._retry = retry or RetryPolicy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless they were brought."""
        if self._owned:
            await self._http.aclose()

    async def classify(self, inputs: Texts, **options: Unpack[ClassifyOptions]) -> Classification:
        """Labels with scores of a text, a pair, or a list of either. ClientError."""
        return await self._call(calls.classify(inputs, options))

    async def qa(self, questions: Questions, **options: Unpack[QaOptions]) -> QuestionAnswers:
        """Answers to a question, or to many, each about its own context. ClientError."""
        return await self._call(calls.answer(questions, options))

    async def compare(
        self, inputs: Texts, variants: Sequence[str] | None = None, **options: Unpack[ClassifyComparisonOptions]
    ) -> Comparison:
        """Classify with several variants of one model, by default all. ClientError."""
        return await self._call(calls.compare_labels(inputs, variants, options))

    async def compare_qa(
        self, questions: Questions, variants: Sequence[str] | None = None, **options: Unpack[QaComparisonOptions]
    ) -> Comparison:
        """Answer with several variants of one model, by default all. ClientError."""
        return await self._call(calls.compare_answers(questions, variants, options))

    async def models(self) -> tuple[ModelEntry, ...]:
        """Every model and version in the store. ClientError."""
        return await self._call(calls.models())

    async def _call(self, call: Call[Result]) -> Result:
        attempts, waited_s = 0, 0.0
        while True:
            attempts += 1
            try:
                return calls.read(call, await self._send(call))
            except ClientError as error:
                pause = pause_s(self._retry, error, attempts=attempts, waited_s=waited_s)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            waited_s += pause

    async def _send(self, call: Call[Result]) -> httpx.Response:
        with self._server.translated():
            return await self._http.request(**self._server.arguments(call))
