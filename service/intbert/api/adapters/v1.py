"""POST /v1/classify, the shape that vLLM and SGLang share."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.adapters.common import Backend
from intbert.api.wire import Name, Wire
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, LabelScore, TextInput


def _shape(value: Any) -> str | None:
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else None


Input = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[str], Tag("list")],
    Discriminator(
        _shape, custom_error_type="input_shape", custom_error_message="must be a text or a list of texts, no token ids"
    ),
]


class V1ClassifyRequest(Wire):
    """One text or many. Fields without effect here are accepted only with the value that changes nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"input": "a gripping, beautifully acted film"},
                {"input": ["a gripping film", "two hours I will not get back"], "truncate_prompt_tokens": -1},
            ]
        }
    )

    input: Input
    model: Name | None = Field(default=None, description="By default the one for classification.")
    use_activation: bool | None = Field(default=None, description="false: logits instead of probabilities.")
    truncate_prompt_tokens: Literal[-1] | None = Field(
        default=None, description="-1: drop the end of a text over the model's limit; else it is refused."
    )
    truncation_side: Literal["right"] | None = Field(default=None, description="Only the end of a text can be dropped.")
    add_special_tokens: Literal[True] = True
    priority: Literal[0] | None = None
    user: str | None = Field(default=None, description="Without effect.")
    request_id: str | None = Field(default=None, description="Without effect; the header X-Request-Id is echoed.")
    rid: str | None = Field(default=None, description="Without effect.")

    def texts(self) -> list[TextInput]:
        """One input for every text."""
        return [TextInput(text=text) for text in ([self.input] if isinstance(self.input, str) else self.input)]


class V1Class(BaseModel):
    """`probs` in the order of the model's labels; `label` is the best."""

    index: int
    label: str
    probs: list[float]
    num_classes: int


class V1Usage(BaseModel):
    """Tokens of all inputs, special tokens included."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: Literal[0]
    prompt_tokens_details: None


class V1ClassifyResponse(BaseModel):
    """One entry of `data` for every text, in the order sent."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[V1Class]
    usage: V1Usage


class V1Choice(BaseModel):
    """What the body has no word for: parameters of the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Name | None = Field(default=None, description="By default the active one.")
    variant: Name | None = Field(default=None, description="int8 (the default), fp32, or any other.")


async def classify(request: Request, backend: Backend, choice: V1Choice) -> Response:
    """Read, check and answer."""
    asked = await backend.read(request, V1ClassifyRequest)
    selection = ClassifyParameters(
        model=asked.model,
        version=choice.version,
        variant=choice.variant,
        function_to_apply="none" if asked.use_activation is False else None,
        truncation="error" if asked.truncate_prompt_tokens is None else "truncate",
        timeout_s=backend.timeout_s(),
    )
    return await backend.classify(request, asked.texts(), selection, write)


def write(result: ClassifyResult) -> V1ClassifyResponse:
    """The answer in this protocol's shape."""
    tokens = sum(usage.tokens for usage in result.usage)
    return V1ClassifyResponse(
        id=f"classify-{uuid4().hex}",
        object="list",
        created=int(time.time()),
        model=result.model.name,
        data=[
            V1Class(
                index=index,
                label=ranked[0].label,
                probs=in_label_order(result.labels, ranked),
                num_classes=len(ranked),
            )
            for index, ranked in enumerate(result.results)
        ],
        usage=V1Usage(prompt_tokens=tokens, total_tokens=tokens, completion_tokens=0, prompt_tokens_details=None),
    )


def in_label_order(labels: Sequence[str], ranked: Sequence[LabelScore]) -> list[float]:
    """The scores of all labels, in the order of the labels."""
    scores = {item.label: item.score for item in ranked}
    return [scores[label] for label in labels]
