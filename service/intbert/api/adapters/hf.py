"""Hugging Face's inference API: bare lists, as `huggingface_hub.InferenceClient` sends and expects them.

The types are those of `packages/tasks` in huggingface.js, and of the pipelines behind that API.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response

from intbert.api.adapters.common import Backend, Choice
from intbert.api.wire import Activation, Inputs, LabelScore, Wire
from intbert.api.wire_qa import AnswerSpan, QuestionInput
from intbert.runtime.classify import ClassifyParameters, ClassifyResult, TextInput
from intbert.runtime.qa import QaParameters, QaResult, Question


class HfOptions(Wire):
    """Of that API's own queue and cache; without effect here."""

    use_cache: bool | None = None
    wait_for_model: bool | None = None
    use_gpu: bool | None = None


class HfClassifyParameters(Wire):
    """Everything has a default."""

    function_to_apply: Activation | None = Field(
        default=None, description="Logits to scores; by default what the model was trained for."
    )
    top_k: int | None = Field(default=None, ge=1, description="Number of labels to return; by default all.")
    truncation: bool | None = Field(
        default=None, description="Drop the end of a text over the model's limit; else it is refused."
    )


class HfClassifyRequest(Wire):
    """One input or many. A flat list of two strings is two inputs, never a pair."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": "a gripping, beautifully acted film"},
                {"inputs": ["a gripping film", "two hours I will not get back"], "parameters": {"top_k": 1}},
            ]
        }
    )

    inputs: Inputs
    parameters: HfClassifyParameters | None = None
    options: HfOptions | None = None

    def texts(self) -> list[TextInput]:
        """One for every input."""
        items = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [
            TextInput(text=item) if isinstance(item, str) else TextInput(text=item.text, text_pair=item.text_pair)
            for item in items
        ]


class HfClassifyResponse(RootModel[list[list[LabelScore]]]):
    """One list an input, also for one input; labels best first."""


class HfQaParameters(Wire):
    """Everything has a default; lengths are in tokens."""

    top_k: int | None = Field(default=None, ge=1, le=1000, description="Number of answers to return at most.")
    doc_stride: int | None = Field(default=None, ge=0, le=512, description="Tokens that neighbouring windows share.")
    max_answer_len: int | None = Field(default=None, ge=1, le=512, description="Longest answer.")
    max_seq_len: int | None = Field(default=None, ge=16, le=8192, description="Longest window, question included.")
    max_question_len: int | None = Field(default=None, ge=1, le=512, description="A longer question is cut.")
    handle_impossible_answer: bool | None = Field(default=None, description='Let "no answer" be one of the answers.')
    align_to_words: Literal[False] | None = Field(
        default=None, description="Answers are not widened to whole words: true is refused."
    )


class HfQaRequest(Wire):
    """One question or many."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": {
                        "question": "When did Ada Lovelace write the letter?",
                        "context": "Ada Lovelace wrote the letter to Charles Babbage in 1843.",
                    }
                },
                {
                    "inputs": {"question": "When?", "context": "The bridge was opened in May 1937."},
                    "parameters": {"top_k": 2, "doc_stride": 64},
                },
            ]
        }
    )

    inputs: QuestionInput | list[QuestionInput]
    parameters: HfQaParameters | None = None
    options: HfOptions | None = None

    def questions(self) -> list[Question]:
        """One for every input."""
        items = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return [Question(question=item.question, context=item.context) for item in items]


class HfQaResponse(RootModel[AnswerSpan | list[AnswerSpan] | list[list[AnswerSpan]]]):
    """One answer; a list with top_k over 1; a list of these for a list of inputs."""


async def classify(request: Request, backend: Backend, choice: Choice) -> Response:
    """Read, check and answer."""
    asked = await backend.read(request, HfClassifyRequest)
    given = asked.parameters or HfClassifyParameters()
    selection = ClassifyParameters(
        **choice.model_dump(),
        top_k=given.top_k,
        function_to_apply=given.function_to_apply,
        truncation="truncate" if given.truncation else "error",
        timeout_s=backend.timeout_s(),
    )
    return await backend.classify(request, asked.texts(), selection, _write_labels)


async def answer(request: Request, backend: Backend, choice: Choice) -> Response:
    """Read, check and answer."""
    asked = await backend.read(request, HfQaRequest)
    given = (asked.parameters or HfQaParameters()).model_dump(exclude_none=True, exclude={"align_to_words"})
    if "doc_stride" in given:
        given["overlap"] = given.pop("doc_stride")
    selection = QaParameters(**choice.model_dump(), **given, timeout_s=backend.timeout_s())

    def write(result: QaResult) -> Any:
        answers = [found[0] if selection.top_k == 1 else found for found in result.results]
        return answers if isinstance(asked.inputs, list) else answers[0]

    return await backend.answer(request, asked.questions(), selection, write)


def _write_labels(result: ClassifyResult) -> Any:
    return result.results
