"""What all adapters share: the parts they stand on, the choice of a model in the address, and the two kinds of job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.answer import limit_timeout_s, respond
from intbert.api.body import read_json
from intbert.api.wire import Name
from intbert.config import Settings
from intbert.errors import InputError
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.jobs import ClassifyJob
from intbert.runtime.qa import QaParameters, QaResult, Question
from intbert.runtime.qa_job import QaJob
from intbert.runtime.service import InferenceService
from intbert.telemetry.metrics import Metrics

Body = TypeVar("Body", bound=BaseModel)


class Choice(BaseModel):
    """Which model answers, for protocols that have no word for it: parameters of the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name | None = Field(default=None, description="By default the one for this task.")
    version: Name | None = Field(default=None, description="By default the active one.")
    variant: Name | None = Field(default=None, description="int8 (the default), fp32, or any other.")


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The parts that answer."""

    service: InferenceService
    settings: Settings
    metrics: Metrics

    async def read(self, request: Request, model: type[Body], *, untyped: bool = False) -> Body:
        """The request's body, declared as JSON or, with `untyped`, as nothing. HttpError (400, 408, 413, 415, 422)."""
        return await read_json(
            request,
            model,
            limit_bytes=self.settings.max_body_bytes,
            limit_s=self.settings.request_timeout_s,
            untyped=untyped,
        )

    def timeout_s(self, timeout_ms: int | None = None) -> float:
        """As long as the server allows, or as the client does."""
        return limit_timeout_s(timeout_ms, self.settings.request_timeout_s)

    async def classify(
        self,
        request: Request,
        texts: Sequence[TextInput],
        selection: ClassifyParameters,
        write: Callable[[ClassifyResult], Any],
    ) -> Response:
        """The labels of `texts`, as `write` puts them."""
        self._check_count(len(texts))
        return await respond(request, self.service, self.metrics, ClassifyJob(texts=texts, selection=selection), write)

    async def answer(
        self,
        request: Request,
        questions: Sequence[Question],
        selection: QaParameters,
        write: Callable[[QaResult], Any],
    ) -> Response:
        """The answers to `questions`, as `write` puts them."""
        self._check_count(len(questions))
        return await respond(
            request, self.service, self.metrics, QaJob(questions=questions, selection=selection), write
        )

    def _check_count(self, inputs: int) -> None:
        if inputs > self.settings.max_inputs:
            raise InputError.too_many(what="inputs", count=inputs, limit=self.settings.max_inputs)
