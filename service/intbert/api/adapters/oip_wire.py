"""What goes over the wire in the Open Inference Protocol v2 (specification/protocol/open_inference_rest.yaml), in JSON.

Tensors of texts have the datatype BYTES. The binary tensor data extension is not spoken here.
"""

from math import prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from intbert.api.wire import Activation, Name, Wire

NO_BINARY = (
    "the binary tensor data extension is not supported: send the texts in `data` (Triton's client: binary_data=False)"
)


def _flat(value: Any) -> Any:
    """`data` may be nested as the shape says, or flat, row by row; a row holds one text."""
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        return [text for row in value for text in row]
    return value


Texts = Annotated[
    list[str],
    BeforeValidator(_flat),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "string"}}},
            ]
        }
    ),
]


class InputParameters(Wire):
    """What clients say about one input."""

    content_type: Literal["str"] | None = Field(default=None, description="Texts are UTF-8.")


class RequestInput(Wire):
    """A tensor of N texts: shape [N] or [N, 1]."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=2)
    datatype: Literal["BYTES"]
    parameters: InputParameters | None = None
    data: Texts

    @model_validator(mode="before")
    @classmethod
    def _refuse_binary(cls, value: Any) -> Any:
        parameters = value.get("parameters") if isinstance(value, dict) else None
        if isinstance(parameters, dict) and "binary_data_size" in parameters:
            raise ValueError(NO_BINARY)
        return value

    @model_validator(mode="after")
    def _shape_fits(self) -> "RequestInput":
        if prod(self.shape) != len(self.data) or self.shape[1:] not in ([], [1]):
            raise ValueError(f"the shape {self.shape} does not fit {len(self.data)} texts; it must be [N] or [N, 1]")
        return self


class OutputParameters(Wire):
    """What clients say about one output."""

    binary_data: bool | None = Field(default=None, description="Without effect: outputs are always JSON.")


class RequestOutput(Wire):
    """An output to return."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(Wire):
    """Everything has a default."""

    variant: Name | None = Field(default=None, description="int8 (the default), fp32, or any other.")
    truncation: Literal["error", "truncate", "window"] | None = Field(
        default=None,
        description="For a text over the model's limit: as at /classify (error, truncate) and /qa (window, error).",
    )
    function_to_apply: Activation | None = Field(default=None, description="Classification only: logits to scores.")
    timeout_ms: int | None = Field(default=None, ge=1, le=3_600_000, description="Give up after this time.")
    binary_data_output: bool | None = Field(default=None, description="Without effect: outputs are always JSON.")


class InferRequest(Wire):
    """Inputs of a classifier: text, and text_pair for pairs. Of a span model: question and context."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "42",
                    "inputs": [
                        {
                            "name": "text",
                            "shape": [2],
                            "datatype": "BYTES",
                            "data": ["a gripping film", "two hours I will not get back"],
                        }
                    ],
                    "outputs": [{"name": "label"}, {"name": "score"}],
                }
            ]
        }
    )

    id: str | None = None
    parameters: RequestParameters | None = None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = Field(default=None, description="By default all.")


class ResponseOutput(BaseModel):
    """A tensor, its data flat, row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str] | list[int] | list[float]


class ResponseParameters(BaseModel):
    """Who answered, and what it took."""

    variant: str
    sha256: str
    tokens: int
    truncated_inputs: int


class InferResponse(BaseModel):
    """Outputs in the order asked for."""

    model_name: str
    model_version: str
    id: str | None = Field(default=None, description="The request's, if it has one.")
    parameters: ResponseParameters
    outputs: list[ResponseOutput]


class TensorMetadata(BaseModel):
    """A size of -1 may vary."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """One model, all its versions alike."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """No extension is spoken."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """The process answers, and its workers make progress."""

    live: bool


class ServerReady(BaseModel):
    """The specification's text calls the member `live`, its clients read `ready`."""

    live: bool
    ready: bool


class ModelReady(BaseModel):
    """This model answers."""

    name: str
    ready: bool
