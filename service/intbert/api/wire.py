"""What goes over the wire: strict models of requests and answers. Unknown fields are errors."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Truncation = Literal["error", "truncate"]
Activation = Literal["softmax", "sigmoid", "none"]


Name = Annotated[
    str, Field(min_length=1, max_length=128)
]  # of a model, version or variant: leave it out for the default


class Wire(BaseModel):
    """Base: no coercion, no unknown field, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextPair(Wire):
    """Two texts that belong together, for models that judge pairs."""

    text: str
    text_pair: str


def _shape(value: Any) -> str | None:
    """Which of the three shapes of `inputs` this is, so that an error speaks about one shape, not about all."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict | TextPair):
        return "pair"
    return "list" if isinstance(value, list) else None


_SHAPE_ERROR: dict[str, Any] = {"custom_error_type": "input_shape"}

OneInput = Annotated[
    Annotated[str, Tag("text")] | Annotated[TextPair, Tag("pair")],
    Discriminator(
        lambda value: None if isinstance(value, list) else _shape(value),
        custom_error_message="must be a text or an object with text and text_pair",
        **_SHAPE_ERROR,
    ),
]
Inputs = Annotated[
    Annotated[str, Tag("text")] | Annotated[TextPair, Tag("pair")] | Annotated[list[OneInput], Tag("list")],
    Discriminator(
        _shape,
        custom_error_message="must be a text, an object with text and text_pair, or a list of these",
        **_SHAPE_ERROR,
    ),
]


class ClassifyParameters(Wire):
    """How to answer. Everything has a default."""

    variant: Name | None = Field(default=None, description="int8 (the default), fp32, or any other.")
    model: Name | None = Field(default=None, description="Model in the store; by default the one for this task.")
    version: Name | None = Field(default=None, description="By default the newest.")
    top_k: int | None = Field(default=None, ge=1, description="Number of labels to return; by default all.")
    truncation: Truncation = Field(
        default="error", description="What to do with a text over the model's limit: refuse it, or drop its end."
    )
    function_to_apply: Activation | None = Field(
        default=None, description="Logits to scores; by default what the model was trained for."
    )
    return_digest: bool = Field(
        default=False, description="Add the SHA-256 of each input's int32 logits (integer-only variants)."
    )
    timeout_ms: int | None = Field(
        default=None, ge=1, le=3_600_000, description="Give up after this time; never longer than the server's limit."
    )


class ClassifyRequest(Wire):
    """One input or many. A flat list of two strings is two inputs, never a pair."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": "a gripping, beautifully acted film"},
                {"inputs": ["a gripping film", "two hours I will not get back"], "parameters": {"variant": "fp32"}},
                {
                    "inputs": [{"text": "The plot is thin.", "text_pair": "The actors are good."}],
                    "parameters": {"top_k": 1, "return_digest": True, "truncation": "truncate"},
                },
            ]
        }
    )

    inputs: Inputs
    parameters: ClassifyParameters = ClassifyParameters()

    def texts(self) -> list[tuple[str, str | None]]:
        """(text, text_pair or None), one for every input."""
        items = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [(item, None) if isinstance(item, str) else (item.text, item.text_pair) for item in items]


class LabelScore(BaseModel):
    """One label and its score."""

    label: str
    score: float


class Usage(BaseModel):
    """What one input was in tokens, special tokens included."""

    tokens: int
    windows: int
    truncated: bool
    tokens_dropped: int


class ServedModel(BaseModel):
    """Who answered."""

    name: str
    version: str
    variant: str
    sha256: str


class ClassifyResponse(BaseModel):
    """One entry per input in every list."""

    results: list[list[LabelScore]]
    usage: list[Usage]
    model: ServedModel
    digests: list[str] | None = Field(
        default=None, description="With return_digest: SHA-256 of the int32 logits, little endian, per input."
    )


class Problem(BaseModel):
    """RFC 9457. `code` is stable; more members carry the figures of the error, such as `limit` and `tokens`."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
