"""A typed client of the service, for programs: needs httpx and nothing of the server.

from intbert.client import Client

with Client("http://localhost:8000") as client:
    answer = client.classify("a gripping film")
    print(answer.best[0].label)
"""

from intbert.client.aio import AsyncClient
from intbert.client.errors import (
    AnswerError,
    ApiError,
    ArgumentError,
    ClientError,
    ConnectionFailedError,
    DeadlineError,
    NotFoundError,
    OverloadedError,
    RequestError,
    ServerFaultError,
    UnauthorizedError,
    UnavailableError,
)
from intbert.client.options import ClassifyOptions, QaOptions, Question, TextPair
from intbert.client.retry import RetryPolicy
from intbert.client.sync import Client
from intbert.client.types import (
    Answer,
    Classification,
    Comparison,
    LabelScore,
    ModelEntry,
    QuestionAnswers,
    ServedModel,
    Usage,
)

__all__ = [
    "Answer",
    "AnswerError",
    "ApiError",
    "ArgumentError",
    "AsyncClient",
    "Classification",
    "ClassifyOptions",
    "Client",
    "ClientError",
    "Comparison",
    "ConnectionFailedError",
    "DeadlineError",
    "LabelScore",
    "ModelEntry",
    "NotFoundError",
    "OverloadedError",
    "QaOptions",
    "Question",
    "QuestionAnswers",
    "RequestError",
    "RetryPolicy",
    "ServedModel",
    "ServerFaultError",
    "TextPair",
    "UnauthorizedError",
    "UnavailableError",
    "Usage",
]
