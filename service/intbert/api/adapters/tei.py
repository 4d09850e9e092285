"""POST /predict of Hugging Face's text-embeddings-inference (router/src/http/types.rs): classification."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.adapters.common import Backend, Choice
from intbert.api.wire import LabelScore, Wire
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput

Sequence = Annotated[list[str], Field(min_length=1, max_length=2)]


def _shape(value: Any) -> str | None:
    """The protocol tells a pair from a batch by what the list holds."""
    if isinstance(value, str):
        return "text"
    if not isinstance(value, list):
        return None
    return "batch" if value and isinstance(value[0], list) else "pair"


PredictInputs = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[Sequence, Tag("pair")]
    | Annotated[list[Sequence], Field(min_length=1), Tag("batch")],
    Discriminator(
        _shape,
        custom_error_type="input_shape",
        custom_error_message="must be a text, a pair [text, text], or a batch of lists [[text], [text, text], ...]",
    ),
]


class PredictRequest(Wire):
    """A text, a pair, or a batch. Here a flat list of two strings is a pair: that is this protocol's rule."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": "a gripping, beautifully acted film"},
                {"inputs": [["a gripping film"], ["two hours I will not get back"]], "raw_scores": True},
                {"inputs": ["The plot is thin.", "The actors are good."], "truncate": True},
            ]
        }
    )

    inputs: PredictInputs
    raw_scores: bool = Field(default=False, description="Logits instead of probabilities.")
    truncate: bool | None = Field(
        default=None, description="Drop the end of a text that is too long; else it is refused."
    )
    truncation_direction: Literal["Right", "right"] = Field(
        default="Right", description="Only the end of a text can be dropped."
    )

    def texts(self) -> list[TextInput]:
        """One input for every sequence."""
        if isinstance(self.inputs, str):
            return [TextInput(text=self.inputs)]
        pair = [item for item in self.inputs if isinstance(item, str)]
        batch = [item for item in self.inputs if isinstance(item, list)] or [pair]
        return [TextInput(text=item[0], text_pair=item[1] if len(item) > 1 else None) for item in batch]

    @property
    def batched(self) -> bool:
        """Whether the answer is a list of lists."""
        return _shape(self.inputs) == "batch"


class PredictResponse(RootModel[list[LabelScore] | list[list[LabelScore]]]):
    """Labels, best first; a list of such lists for a batch."""


async def predict(request: Request, backend: Backend, choice: Choice) -> Response:
    """Read, check and answer."""
    asked = await backend.read(request, PredictRequest)
    selection = ClassifyParameters(
        **choice.model_dump(),
        function_to_apply="none" if asked.raw_scores else None,
        truncation="truncate" if asked.truncate else "error",
        timeout_s=backend.timeout_s(),
    )

    def write(result: ClassifyResult) -> Any:
        return result.results if asked.batched else result.results[0]

    return await backend.classify(request, asked.texts(), selection, write)
